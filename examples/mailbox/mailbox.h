// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "mailbox.nearcall.pb.h"

namespace mailbox {

// The boxes of one server. A taker holds a handler's thread and place as long as it takes (ServerOptions:
// max_handler_threads); for thousands of them this would be a CoService.
class MailboxImpl final : public Mailbox::Service {
 public:
  struct Limits {
    size_t letters = 1000;  // of a box, those that are taken and not acknowledged included
    size_t bytes = size_t{1} << 20;
    size_t boxes = 100;  // that are not empty, or have takers
  };

  explicit MailboxImpl(const Limits& limits) : limits_(limits) {}

 private:
  struct Box {
    std::deque<Letter> waiting;
    std::map<uint64_t, Letter> taken;
    size_t bytes = 0;
    size_t users = 0;  // calls that wait here
  };
  class Use;

  absl::Status Put(nearcall::ServerContext& context, const PutRequest& request, PutReply& reply) override;
  absl::Status Take(nearcall::ServerContext& context, const TakeRequest& request,
                    nearcall::ServerWriter<Letter>& letters) override;
  absl::Status Ack(nearcall::ServerContext& context, const AckRequest& request, AckReply& reply) override;

  const Limits limits_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Box> boxes_;
  uint64_t last_id_ = 0;
};

}  // namespace mailbox
