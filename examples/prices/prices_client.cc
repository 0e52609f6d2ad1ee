// SPDX-License-Identifier: Apache-2.0

// prices_client watch all|latest [COUNT]  prints prices as they come, COUNT at most, and how many it has missed
// prices_client publish CENTS...          one price each, once somebody has subscribed
// prices_client close                     ends all subscriptions
#include <cstdlib>
#include <iostream>
#include <string>

#include "prices.nearcall.pb.h"

namespace {

absl::Status Watch(const prices::Prices::Stub& stub, bool latest_only, long count) {
  nearcall::ResponseMetadata metadata;
  nearcall::CallOptions options;
  options.response_metadata = &metadata;
  prices::Subscription subscription;
  subscription.set_latest_only(latest_only);
  const auto stream = stub.Subscribe(subscription, options);
  prices::Price price;
  for (; count != 0 && stream->Read(&price); --count) std::cout << price.cents() << std::endl;
  if (count == 0) return absl::OkStatus();  // to drop the stream cancels it
  absl::Status status = stream->Finish();
  if (const auto dropped = metadata.trailing.Get("nearcall-dropped")) std::cout << *dropped << " missed\n";
  return status;
}

absl::Status Publish(const prices::Prices::Stub& stub, int count, char** cents) {
  for (int i = 0; i < count; ++i) {
    prices::Price price;
    price.set_cents(std::atol(cents[i]));
    const absl::StatusOr<prices::Published> published = stub.Publish(price);
    if (!published.ok()) return published.status();
    std::cout << "to " << published->subscribers() << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  const std::string which = argc > 2 ? argv[2] : "";
  const auto channel = nearcall::Channel::Connect("prices", {.connect_timeout = absl::Seconds(5)});
  absl::Status status = channel.status();
  if (status.ok()) {
    const prices::Prices::Stub stub(*channel);
    if (command == "watch" && (which == "all" || which == "latest")) {
      status = Watch(stub, which == "latest", argc > 3 ? std::atol(argv[3]) : -1);
    } else if (command == "publish") {
      status = Publish(stub, argc - 2, argv + 2);
    } else if (command == "close") {
      status = stub.Close({}).status();
    } else {
      status = absl::InvalidArgumentError("usage: prices_client watch all|latest [COUNT] | publish CENTS... | close");
    }
  }
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
