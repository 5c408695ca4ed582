# cmake -DINPUT=FILE -DOUTPUT=HEADER -DNAME=name -P Embed.cmake: the bytes of FILE as `static const char name[]`, ended by a 0.
# An array of characters, since C promises no string literals of more than 4,095; a line of it is a line of FILE.
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
string(REPLACE "'\\x0a'," "'\\x0a',\n" bytes "${bytes}")
get_filename_component(input "${INPUT}" NAME)
file(WRITE "${OUTPUT}" "/* made of ${input} by cmake/Embed.cmake */\nstatic const char ${NAME}[] = {\n${bytes}0};\n")
