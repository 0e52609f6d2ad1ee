// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "nearcall/internal/method.h"

namespace nearcall::rpc {

// A method of which its caller knows no more than the name. (Others are constants of generated code.) Its calls keep
// it.
struct GenericMethod final : internal::MethodInfo, std::enable_shared_from_this<GenericMethod> {
  GenericMethod(absl::string_view method, internal::MethodKind its_kind)
      : MethodInfo{.full_name = nullptr,
                   .id = 0,
                   .kind = its_kind,
                   .priority = Priority::kNormal,
                   .timeout_ns = 0,
                   .may_block = false,
                   .generic = true},
        name(method) {
    full_name = name.c_str();
    id = internal::MethodId(full_name);
  }
  GenericMethod(const GenericMethod&) = delete;
  GenericMethod& operator=(const GenericMethod&) = delete;

  const std::string name;
};

// What keeps `method` for one of its calls; null: it is a constant.
inline std::shared_ptr<const void> KeptBy(const internal::MethodInfo& method) {
  if (!method.generic) return nullptr;
  return static_cast<const GenericMethod&>(method).shared_from_this();
}

}  // namespace nearcall::rpc
