// SPDX-License-Identifier: Apache-2.0

// More clients than the kernel has room for: who does not fit is told why, and those that are connected are served on.
#include <iostream>
#include <vector>

#include "fixture.h"
#include "support/descriptor_limit.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr size_t kExpected = 40;
constexpr size_t kMany = 1000;  // more than the limits of message queues allow

class TooManyClients : public IntegrationTest {
 protected:
  void SetUp() override {
    if (TransportName() != "mq") GTEST_SKIP() << "only message queues are counted by the kernel for each user";
    testing::RaiseDescriptorLimit();
  }

  // Connects until it is refused, which it returns.
  absl::Status ConnectAsManyAsFit() {
    while (clients_.size() < kMany) {
      auto channel = Channel::Connect(Address());
      if (!channel.ok()) return channel.status();
      clients_.emplace_back(*std::move(channel));
    }
    return absl::OkStatus();
  }

  void ExpectAllServed() {
    for (const Echo::Stub& client : clients_) {
      const auto reply = client.Say(MakeBlob(std::string(10'000, 'x')), {.timeout = kLong});
      EXPECT_TRUE(reply.ok()) << reply.status();
    }
  }

  std::vector<Echo::Stub> clients_;
};

TEST_F(TooManyClients, AreToldTheLimitAndTheOthersAreServed) {
  const auto server = StartServer({.expected_clients = kExpected});
  const absl::Status refused = ConnectAsManyAsFit();
  std::cout << "[ measured ] " << clients_.size() << " clients where " << kExpected
            << " are expected; the next: " << refused << "\n";
  EXPECT_GE(clients_.size(), kExpected);
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, " is "));  // the limit's name is its value
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, "raise it"));
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, "or use shm: or pipe:"));
  ExpectAllServed();
}

TEST_F(TooManyClients, APlaceThatIsGivenUpIsGivenToTheNext) {
  const auto server = StartServer({.expected_clients = kExpected});
  ASSERT_FALSE(ConnectAsManyAsFit().ok());
  for (int i = 0; i < 5; ++i) {
    clients_.pop_back();
    ASSERT_TRUE(Eventually([this] {
      auto channel = Channel::Connect(Address());
      if (channel.ok()) clients_.emplace_back(*std::move(channel));
      return channel.ok();
    }));
  }
  ExpectAllServed();
}

}  // namespace
}  // namespace nearcall::integration
