// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nearcall/service.h"
#include "rpc/server/blocking_habit.h"
#include "rpc/server/call_counts.h"

namespace nearcall::rpc {

// What a server can do: methods by their number on the wire. Filled before the server starts, constant afterwards.
class ServiceTable {
 public:
  struct Method {
    Method(Service* its_service, const internal::ServerMethod* its_method, size_t leaders, bool is_standard = false)
        : service(its_service), method(its_method), standard(is_standard), counts(leaders) {}

    Service* const service;
    const internal::ServerMethod* const method;
    const bool standard;  // of every server, and not the program's
    mutable BlockingHabit habit;
    mutable CallCounts counts;
  };

  // `leaders`: who count the calls of its methods; none: nobody does.
  explicit ServiceTable(size_t leaders = 0) : leaders_(leaders), unknown_(leaders) {}

  // INVALID_ARGUMENT: the service, or a method of the same number, is there already.
  absl::Status Add(Service* service);

  // One that every server has; nothing, if the program has registered its own of that name.
  void AddStandard(Service* service);

  // What serves every method that no service has. INVALID_ARGUMENT: there is one already.
  absl::Status AddGeneric(Service* service);
  // nullptr if there is none.
  const Method* generic() const { return generic_.get(); }

  // nullptr if there is none.
  const Method* Find(uint64_t method_id) const {
    const auto found = methods_.find(method_id);
    return found == methods_.end() ? nullptr : &found->second;
  }

  // Of calls of `method`; of all that there are not, if it is null.
  CallCounts& CountsOf(const Method* method) const { return method == nullptr ? unknown_ : method->counts; }

  // Whether messages of any method may bring descriptors.
  bool brings_descriptors() const { return brings_descriptors_; }

  bool Has(absl::string_view full_name) const;
  void ForEachName(absl::FunctionRef<void(const std::string& full_name)> visit) const;
  // But for the generic one, in no order.
  void ForEachMethod(absl::FunctionRef<void(const Method& method)> visit) const;

  // The program's.
  std::string DebugString() const;

 private:
  absl::Status AddMethods(Service* service, bool standard);

  const size_t leaders_;
  mutable CallCounts unknown_;
  std::unordered_map<uint64_t, Method> methods_;
  std::vector<std::string> names_;
  std::vector<std::string> standard_names_;
  std::unique_ptr<const Method> generic_;
  bool brings_descriptors_ = false;
};

}  // namespace nearcall::rpc
