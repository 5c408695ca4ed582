/* The cpu back end keeps the contract of backend.h, also with channels in whole blocks, which its
 * own code for AVX2 wants. */
#include "tests/contract.h"

int main(void) {
    T_BEGIN(300);
    contract_all(&dt_backend_cpu);
    contract_spec =
        "conv 8 3; relu; pool 2; conv 16 3; relu; pool 2; dropout 0.3; fc 40; relu; fc 10";
    contract_all(&dt_backend_cpu);
    return t_finish();
}
