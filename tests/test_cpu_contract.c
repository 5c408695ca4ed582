/* The oneDNN back end keeps the contract of backend.h. */
#include "tests/contract.h"

int main(void) {
    T_BEGIN(300);
    contract_all(&dt_backend_cpu);
    return t_finish();
}
