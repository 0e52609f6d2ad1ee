// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/wrappers.pb.h"
#include "nearcall/service.h"

namespace nearcall::rpc::testing {

using Bytes = google::protobuf::BytesValue;

inline Bytes MakeBytes(const std::string& value) {
  Bytes bytes;
  bytes.set_value(value);
  return bytes;
}

// Parses as any message: unknown groups, one in the other.
inline std::string NestedGroups(size_t depth) {
  constexpr char kBegin = 12 << 3 | 3;  // of field 12
  constexpr char kEnd = kBegin + 1;
  return std::string(depth, kBegin) + std::string(depth, kEnd);
}

// A service whose methods take and give bytes; what they do is said by `handler`.
class FakeService final : public Service {
 public:
  using Handler = std::function<absl::Status(ServerContext&, const Bytes& request, Bytes& reply)>;

  FakeService(const char* full_name, std::initializer_list<const char*> methods) {
    for (const char* method : methods) {
      methods_.push_back(
          {internal::MakeMethod(method, internal::MethodKind::kUnary, Priority::kNormal, 0, false), &Run});
    }
    info_ = {full_name, methods_};
  }

  Handler handler = [](ServerContext&, const Bytes&, Bytes&) { return absl::OkStatus(); };

  const internal::ServiceInfo& GetServiceInfo() const override { return info_; }
  const internal::MethodInfo& method(size_t index = 0) const { return methods_[index].info; }

  void SetId(size_t method, uint64_t id) { methods_[method].info.id = id; }
  void SetMayBlock(size_t method) { methods_[method].info.may_block = true; }
  void SetDescriptors(size_t method, uint8_t most) { methods_[method].info.max_descriptors = most; }
  void SetTimeout(size_t method, int64_t timeout_ns) { methods_[method].info.timeout_ns = timeout_ns; }

 private:
  static void Run(Service& service, internal::ServerCall& call) {
    Bytes request;
    if (!call.ParseRequest(request)) return;
    Bytes reply;
    const absl::Status status = static_cast<FakeService&>(service).handler(call.context(), request, reply);
    call.Finish(status, reply);
  }

  std::vector<internal::ServerMethod> methods_;
  internal::ServiceInfo info_;
};

}  // namespace nearcall::rpc::testing
