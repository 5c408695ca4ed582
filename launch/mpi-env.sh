# shellcheck shell=bash
# Sourced (". launch/mpi-env.sh"): Open MPI's settings for several ranks on one machine, be it a container, as root, or
# with fewer cores than ranks. Not for a cluster: it allows no network between hosts. CMake reads the export lines too, so
# each is one plain NAME=VALUE.

# Open MPI refuses to run as root, which is who one is in a container; it wants to be told twice.
export OMPI_ALLOW_RUN_AS_ROOT=1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# More ranks than cores are fine (= --oversubscribe): needed with one core, and in every test of many ranks. Version 5
# reads the second name.
export OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
# A waiting rank lets others run. Without it 8 ranks on 2 cores need 45 ms for an all-reduce of 4 KB, with it 0.25 ms.
export OMPI_MCA_mpi_yield_when_idle=1
# Up to two ranks would be bound to one core each, and see one core (= --bind-to none).
export OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_MCA_hwloc_default_binding_policy=none
# Shared memory only: no probing of network hardware, a quarter of a second less to start.
export OMPI_MCA_pml=ob1
export OMPI_MCA_btl=self,vader
# Containers often forbid reading a neighbour's memory; asking would print a warning a rank.
export OMPI_MCA_btl_vader_single_copy_mechanism=none
