// The functions of the addon that are no kernels.
#ifndef TICKD_SYSTEM_GLUE_H
#define TICKD_SYSTEM_GLUE_H

#include <node_api.h>

namespace tickd {

bool add_system_functions(napi_env env, napi_value exports) noexcept;

}  // namespace tickd

#endif
