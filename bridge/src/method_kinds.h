// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nearcall/call_kind.h"
#include "nearcall/channel.h"
#include "nearcall/service.h"
#include "nearcall/task.h"

namespace google::protobuf {
class FileDescriptorProto;
}

namespace nearcall::grpc {

// Whether the methods of a server stream: what a call of gRPC's does not say, and ours must. From a descriptor set, or
// from the server's reflection, which is asked once for each service. Believes nothing else of it. Thread-safe.
class MethodKinds {
 public:
  // So many are remembered of one service, and of all before they are asked for anew.
  static constexpr size_t kMaxMethods = 10'000;

  explicit MethodKinds(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

  // --- before the first Find() ---

  // By its own code, beside what reflection says.
  void Describe(const Service& service);
  // Instead of reflection. INVALID_ARGUMENT: it does not parse.
  absl::Status Describe(const std::string& descriptor_set);

  // --- by any thread ---

  // Of "package.Service/Method". UNIMPLEMENTED: there is no such method. `stop`: nobody wants to know it any more.
  Task<absl::StatusOr<CallKind>> Find(std::string method, std::stop_token stop);

  // The server says that a method is not what it was: it may be another version of it.
  void Forget(absl::string_view service);

 private:
  using Kinds = std::map<std::string, CallKind>;

  Task<absl::Status> Ask(std::string service, std::stop_token stop);
  absl::StatusOr<CallKind> Known(const std::string& method);
  // `only_service`: what was asked for; empty: any.
  static void Learn(const google::protobuf::FileDescriptorProto& file, absl::string_view only_service, Kinds& kinds);

  const std::shared_ptr<Channel> channel_;
  bool may_ask_ = true;
  Kinds described_;
  std::mutex mutex_;
  Kinds asked_;  // guarded by mutex_
};

// "package.Service" of "package.Service/Method".
absl::string_view ServiceOf(absl::string_view method);

}  // namespace nearcall::grpc
