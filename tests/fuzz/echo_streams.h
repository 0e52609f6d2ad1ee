// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

#include "nearcall/service.h"
#include "nearcall/stream.h"
#include "unit/rpc/fake_service.h"

namespace nearcall::fuzz {

// A method of each kind that streams.
class EchoStreams final : public Service {
 public:
  using Bytes = rpc::testing::Bytes;

  static constexpr size_t kMethods = 3;
  static constexpr size_t kElements = 50;

  // The request kElements times; one of kMuch bytes for each if it begins with "g".
  absl::Status Down(ServerContext& context, const Bytes& request, ServerWriter<Bytes>& writer);
  static constexpr size_t kMuch = 10'000;
  // The last element.
  absl::Status Up(ServerContext& context, ServerReader<Bytes>& reader, Bytes& reply);
  // Each element, with what it has brought; after one that begins with "r" without writing.
  absl::Status Chat(ServerContext& context, ServerReaderWriter<Bytes, Bytes>& stream);

  const internal::MethodInfo& method(size_t index) const { return GetServiceInfo().methods[index].info; }
  const internal::ServiceInfo& GetServiceInfo() const override;

  // Handlers that run.
  int running() const { return running_; }

 private:
  std::atomic<int> running_{0};
};

}  // namespace nearcall::fuzz
