# cmake --install: the program, what it says of itself (man page, completion), and the scripts that need no source tree.
install(TARGETS dtrain RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(EXISTS "${CMAKE_SOURCE_DIR}/README.md")
  install(FILES README.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
install(PROGRAMS launch/fetch-data.sh DESTINATION "${CMAKE_INSTALL_DATADIR}/dtrain" OPTIONAL)
install(FILES launch/mpi-env.sh DESTINATION "${CMAKE_INSTALL_DATADIR}/dtrain")
install(PROGRAMS launch/submit DESTINATION "${CMAKE_INSTALL_DATADIR}/dtrain")
install(FILES launch/slurm/dtrain.sbatch launch/slurm/site.sh.example DESTINATION "${CMAKE_INSTALL_DATADIR}/dtrain/slurm")

# dt_install_text(FILE FOLDER ARGS...): what `dtrain ARGS` prints, as FOLDER/FILE.
function(dt_install_text file folder)
  list(JOIN ARGN " " args)
  set(text "${CMAKE_BINARY_DIR}/generated/${file}") # not beside the program: the completion has its name
  install(CODE "
    execute_process(COMMAND \"$<TARGET_FILE:dtrain>\" ${args} OUTPUT_FILE \"${text}\"
                    RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR \"dtrain ${args} failed (\${failed}): ${file} is not installed\")
    endif()
    file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${folder}\" TYPE FILE FILES \"${text}\")")
endfunction()
dt_install_text(dtrain.1 "${CMAKE_INSTALL_MANDIR}/man1" --man)
dt_install_text(dtrain "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" --completion bash)
