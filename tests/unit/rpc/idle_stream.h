// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"

namespace nearcall::rpc::testing {

// A handler's stream over which nothing goes. Counts how often it is told of news.
class IdleStream final : public internal::ServerStream {
 public:
  bool Read(google::protobuf::MessageLite&) override { return false; }
  bool Write(const google::protobuf::MessageLite&) override { return true; }
  internal::Tried TryRead(google::protobuf::MessageLite&) override { return internal::Tried::kOver; }
  internal::Tried TryWrite(const google::protobuf::MessageLite&) override { return internal::Tried::kDone; }
  bool WhenReadable(internal::Operation&) override { return false; }
  bool WhenWritable(internal::Operation&) override { return false; }
  void Withdraw(internal::Operation&) override {}
  std::vector<UniqueFd> TakeDescriptors() override { return {}; }
  const std::vector<Buffer>& attachments() const override { return none_; }
  void Lend(std::span<const int>) override {}
  void Attach(Buffer) override {}
  void TellNews() override { ++told; }
  internal::Tried TryNews() override { return internal::Tried::kOver; }
  bool WaitForNews() override { return false; }
  bool WhenNews(internal::Operation&) override { return false; }

  size_t told = 0;

 private:
  const std::vector<Buffer> none_ = {};
};

}  // namespace nearcall::rpc::testing
