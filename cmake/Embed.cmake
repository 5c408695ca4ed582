# cmake -DINPUT=FILE -DOUTPUT=HEADER -DNAME=name -P Embed.cmake: the bytes of FILE as `static const char name[]`, ended by a 0.
# An array of numbers, since C promises no string literals of more than 4,095 characters.
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
get_filename_component(input "${INPUT}" NAME)
file(WRITE "${OUTPUT}" "/* made of ${input} by cmake/Embed.cmake */\nstatic const char ${NAME}[] = {\n${bytes}0};\n")
