// SPDX-License-Identifier: Apache-2.0

// Passes each price on to all who have subscribed. A subscriber that is slow loses prices, and is told how many; it
// makes nobody wait.
#include <iostream>

#include "nearcall/topic.h"
#include "prices.nearcall.pb.h"

namespace {

class PricesImpl final : public prices::Prices::Service {
  absl::Status Publish(nearcall::ServerContext&, const prices::Price& price, prices::Published& reply) override {
    reply.set_subscribers(static_cast<int>(topic_.subscribers()));
    return topic_.Publish(price);
  }

  absl::Status Subscribe(nearcall::ServerContext& context, const prices::Subscription& subscription,
                         nearcall::ServerWriter<prices::Price>& writer) override {
    return topic_.Serve(context, writer,
                        {.max_queued_messages = 4,
                         .when_behind = subscription.latest_only() ? nearcall::WhenBehind::kLatestOnly
                                                                   : nearcall::WhenBehind::kDropOldest});
  }

  absl::Status Close(nearcall::ServerContext&, const prices::CloseRequest&, prices::Published& reply) override {
    reply.set_subscribers(static_cast<int>(topic_.subscribers()));
    topic_.Close();
    return absl::OkStatus();
  }

  nearcall::Topic<prices::Price> topic_;
};

}  // namespace

int main() {
  PricesImpl prices;
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen("prices").Register(&prices).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
