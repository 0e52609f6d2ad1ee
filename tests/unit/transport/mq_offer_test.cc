// SPDX-License-Identifier: Apache-2.0

// What is passed, and what the client checks of it.

#include "transport/mq/mq_offer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/mq/queue.h"
#include "unit/transport/descriptors.h"
#include "unit/transport/passed.h"

namespace nearcall::transport::mq {
namespace {

using ::testing::HasSubstr;

constexpr QueueSize kSize{.max_messages = 4, .message_size = 256};

class MqOfferTest : public ::testing::Test {
 protected:
  enum { kWriteEnd, kReadEnd };

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<TransportOffer>> offer = OfferMqOfSize(kSize);
    ASSERT_TRUE(offer.ok()) << offer.status();
    offer_ = *std::move(offer);
  }

  // The client's answer to an offer in which one descriptor is another one: OK, or the text of INTERNAL.
  std::string AttachWith(size_t which, base::Fd fd) {
    std::vector<base::Fd> fds = Passed(*offer_);
    fds[which] = std::move(fd);
    return Attach(std::move(fds), offer_->geometry());
  }

  std::string AttachWith(const Geometry& geometry) { return Attach(Passed(*offer_), geometry); }

  static std::string Attach(std::vector<base::Fd> fds, const Geometry& geometry) {
    const absl::Status status = AttachMq(std::move(fds), geometry).status();
    if (status.ok()) return "OK";
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    return std::string(status.message());
  }

  std::unique_ptr<TransportOffer> offer_;
};

// The same queue with other rights.
base::Fd Reopen(int fd, int flags) {
  base::Fd again(::open(absl::StrCat("/proc/self/fd/", fd).c_str(), flags | O_CLOEXEC));
  EXPECT_TRUE(again.valid());
  return again;
}

TEST_F(MqOfferTest, IsTakenAsItIs) {
  EXPECT_EQ(AttachWith(offer_->geometry()), "OK");
}

TEST_F(MqOfferTest, IsOfTheSizeThatTheNumberOfClientsGives) {
  const absl::StatusOr<std::unique_ptr<TransportOffer>> offer =
      OfferMq({.ring_size_bytes = 0, .expected_clients = 1'000'000'000});
  ASSERT_TRUE(offer.ok()) << offer.status();
  const QueueSize size = *ChooseQueueSize(QueueLimits::Now(), 1'000'000'000);
  EXPECT_EQ((*offer)->geometry(), (Geometry{size.max_messages, size.message_size, 0, 0}));
}

TEST_F(MqOfferTest, TheServerKeepsNoCopyOfTheClientsEnds) {
  const std::vector<int> passed = offer_->fds();
  const absl::StatusOr<std::unique_ptr<Transport>> server = offer_->Accept();
  ASSERT_TRUE(server.ok()) << server.status();
  for (const int fd : passed) EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(MqOfferTest, TheClientWantsTwoDescriptors) {
  std::vector<base::Fd> fds = Passed(*offer_);
  fds.pop_back();
  EXPECT_THAT(Attach(std::move(fds), offer_->geometry()), HasSubstr("it sent 1 descriptors, expected 2"));
  EXPECT_THAT(Attach({}, offer_->geometry()), HasSubstr("it sent 0 descriptors"));
}

TEST_F(MqOfferTest, TheClientRefusesGeometriesThatCannotBe) {
  for (const Geometry& geometry : {Geometry{0, 256, 0, 0}, Geometry{11, 256, 0, 0}, Geometry{4, 255, 0, 0},
                                   Geometry{4, 8193, 0, 0}, Geometry{4, uint64_t{1} << 63, 0, 0},
                                   Geometry{~uint64_t{0}, 256, 0, 0}, Geometry{4, 256, 1, 0}, Geometry{4, 256, 0, 1}}) {
    EXPECT_THAT(AttachWith(geometry), HasSubstr("the geometry {")) << geometry[0] << " x " << geometry[1];
  }
}

TEST_F(MqOfferTest, TheClientRefusesAGeometryThatIsNotTheQueues) {
  EXPECT_THAT(AttachWith(Geometry{5, 256, 0, 0}), HasSubstr("expected 5 x 256 B, it sent 4 x 256 B"));
  EXPECT_THAT(AttachWith(Geometry{4, 512, 0, 0}), HasSubstr("expected 4 x 512 B, it sent 4 x 256 B"));
  absl::StatusOr<Queue> larger = CreateQueue({.max_messages = 4, .message_size = 512});
  ASSERT_TRUE(larger.ok()) << larger.status();
  EXPECT_THAT(AttachWith(kWriteEnd, std::move(larger->write_end)), HasSubstr("write to: expected 4 x 256 B"));
  EXPECT_THAT(AttachWith(kReadEnd, std::move(larger->read_end)), HasSubstr("read from: expected 4 x 256 B"));
}

TEST_F(MqOfferTest, TheClientRefusesOtherRights) {
  const int write_end = offer_->fds()[kWriteEnd];
  const int read_end = offer_->fds()[kReadEnd];
  EXPECT_THAT(AttachWith(kWriteEnd, Reopen(write_end, O_RDONLY | O_NONBLOCK)),
              HasSubstr("expected O_WRONLY, it sent O_RDONLY"));
  EXPECT_THAT(AttachWith(kWriteEnd, Reopen(write_end, O_RDWR | O_NONBLOCK)),
              HasSubstr("expected O_WRONLY, it sent O_RDWR"));
  EXPECT_THAT(AttachWith(kReadEnd, Reopen(read_end, O_WRONLY | O_NONBLOCK)),
              HasSubstr("expected O_RDONLY, it sent O_WRONLY"));
  EXPECT_THAT(AttachWith(kReadEnd, Reopen(read_end, O_PATH)), HasSubstr("expected a message queue"));
}

TEST_F(MqOfferTest, TheClientRefusesAnEndThatBlocks) {
  EXPECT_THAT(AttachWith(kWriteEnd, Reopen(offer_->fds()[kWriteEnd], O_WRONLY)), HasSubstr("expected O_NONBLOCK"));
  EXPECT_THAT(AttachWith(kReadEnd, Reopen(offer_->fds()[kReadEnd], O_RDONLY)), HasSubstr("expected O_NONBLOCK"));
}

class MqOfferKindTest : public MqOfferTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(All, MqOfferKindTest, ::testing::ValuesIn(testing::kDescriptorKinds), testing::NameOfKind);

TEST_P(MqOfferKindTest, IsNoQueue) {
  for (const size_t which : {kWriteEnd, kReadEnd}) {
    EXPECT_THAT(AttachWith(which, testing::DescriptorOfKind(GetParam())),
                HasSubstr("expected a message queue, it sent another kind of descriptor"));
  }
}

}  // namespace
}  // namespace nearcall::transport::mq
