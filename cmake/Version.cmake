# cmake -DSOURCE=DIR -DOUTPUT=FILE -DVERSION=X -P Version.cmake: writes dtrain_version.h, and touches it only when it
# changed. Runs in every build, since a commit changes the hash and no file that CMake knows of. Without git, or when
# SOURCE lies in somebody else's repository, the version stands alone.
set(text "${VERSION}")
find_program(GIT git)
if(GIT AND EXISTS "${SOURCE}/.git")
  # --no-optional-locks: asking must not disturb a commit that is being made
  execute_process(COMMAND "${GIT}" --no-optional-locks describe --always --dirty --abbrev=7 --exclude=*
                  WORKING_DIRECTORY "${SOURCE}" OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE
                  RESULT_VARIABLE failed ERROR_QUIET)
  if(NOT failed AND hash)
    set(text "${VERSION} (${hash})")
  endif()
endif()

file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
/* Made by the build: do not edit. */
#ifndef DTRAIN_VERSION_H
#define DTRAIN_VERSION_H
#define DTRAIN_VERSION "@VERSION@"   /* 0.1.0 */
#define DTRAIN_VERSION_FULL "@text@" /* 0.1.0 (abc1234), or without the hash where there is no git */
#endif
]])
