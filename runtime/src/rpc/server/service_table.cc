// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/service_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace nearcall::rpc {

absl::Status ServiceTable::Add(Service* service) {
  if (service == nullptr) return absl::InvalidArgumentError("ServerBuilder::Register: the service is null");
  const internal::ServiceInfo& info = service->GetServiceInfo();
  if (std::find(names_.begin(), names_.end(), info.full_name) != names_.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the service ", info.full_name, " is registered twice"));
  }
  if (absl::Status added = AddMethods(service, /*standard=*/false); !added.ok()) return added;
  names_.emplace_back(info.full_name);
  return absl::OkStatus();
}

void ServiceTable::AddStandard(Service* service) {
  const char* const name = service->GetServiceInfo().full_name;
  // (A number that one of the program's methods has, too, is that method's.)
  if (!Has(name) && AddMethods(service, /*standard=*/true).ok()) standard_names_.emplace_back(name);
}

absl::Status ServiceTable::AddMethods(Service* service, bool standard) {
  for (const internal::ServerMethod& method : service->GetServiceInfo().methods) {
    const auto [there, added] = methods_.try_emplace(method.info.id, service, &method, leaders_, standard);
    if (!added) {
      return absl::InvalidArgumentError(absl::StrCat("the methods ", method.info.full_name, " and ",
                                                     there->second.method->info.full_name,
                                                     " have the same number on the wire; rename one"));
    }
    if (method.info.max_descriptors != 0) brings_descriptors_ = true;
  }
  return absl::OkStatus();
}

bool ServiceTable::Has(absl::string_view full_name) const {
  return std::find(names_.begin(), names_.end(), full_name) != names_.end() ||
         std::find(standard_names_.begin(), standard_names_.end(), full_name) != standard_names_.end();
}

void ServiceTable::ForEachName(absl::FunctionRef<void(const std::string& full_name)> visit) const {
  for (const std::string& name : names_) visit(name);
  for (const std::string& name : standard_names_) visit(name);
}

void ServiceTable::ForEachMethod(absl::FunctionRef<void(const Method& method)> visit) const {
  for (const auto& [id, method] : methods_) visit(method);
}

absl::Status ServiceTable::AddGeneric(Service* service) {
  if (service == nullptr) return absl::InvalidArgumentError("ServerBuilder::RegisterGeneric: the service is null");
  if (generic_ != nullptr) return absl::InvalidArgumentError("ServerBuilder::RegisterGeneric was called twice");
  generic_ = std::make_unique<const Method>(service, &service->GetServiceInfo().methods.front(), leaders_);
  brings_descriptors_ = true;
  return absl::OkStatus();
}

std::string ServiceTable::DebugString() const {
  return absl::StrCat(absl::StrJoin(names_, ", "), generic_ == nullptr ? "" : " and all other methods by their names");
}

}  // namespace nearcall::rpc
