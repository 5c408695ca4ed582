/* The cuda back end keeps the contract of backend.h, but for refusals: see there. On a GPU, or on
 * the simulated device. */
#include "tests/contract.h"

int main(void) {
    const dt_backend *be = &dt_backend_cuda;
    T_BEGIN(600);
    contract_split(be);
    contract_evaluate(be);
    contract_state(be);
    contract_clip(be);
    contract_diverged(be);
    contract_float(be);
    contract_fingerprint(be);
    contract_same_bits(be);
    contract_ranges(be);
    contract_augment(be, contract_in);
    contract_augment(be, (dt_shape){1, 9, 14});
    return t_finish();
}
