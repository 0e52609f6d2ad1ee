// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/mq_offer.h"

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/limits.h"
#include "transport/fd_sleeper.h"
#include "transport/mq/mq_transport.h"
#include "transport/mq/queue.h"

namespace nearcall::transport::mq {

namespace {

using base::Fd;

class MqOffer final : public TransportOffer {
 public:
  MqOffer(const QueueSize& size, Queue to_server, Queue to_client)
      : size_(size), to_server_(std::move(to_server)), to_client_(std::move(to_client)) {}

  Geometry geometry() const override { return {size_.max_messages, size_.message_size, 0, 0}; }
  std::vector<int> fds() const override { return {to_server_.write_end.get(), to_client_.read_end.get()}; }
  absl::StatusOr<std::unique_ptr<Transport>> Accept() override;

 private:
  const QueueSize size_;
  Queue to_server_;
  Queue to_client_;
};

absl::StatusOr<std::unique_ptr<Transport>> MqOffer::Accept() {
  NEARCALL_CHECK(to_server_.read_end.valid());
  to_server_.write_end.Reset();
  to_client_.read_end.Reset();
  return std::make_unique<MqTransport>(MqEnd{.write_end = std::move(to_client_.write_end),
                                             .read_end = std::move(to_server_.read_end),
                                             .size = size_,
                                             .sleeper = nullptr});
}

absl::Status Violation(absl::string_view what) {
  return absl::InternalError(absl::StrCat("mq: the server broke the protocol: it sent ", what));
}

absl::Status VerifyOffer(std::span<const Fd> fds, const Geometry& geometry) {
  if (fds.size() != 2) return Violation(absl::StrCat(fds.size(), " descriptors, expected 2"));
  const auto [messages, message_size, zero, also_zero] = geometry;
  if (messages < 1 || messages > base::kMaxQueueMessages || message_size < base::kMinQueueMessageSize ||
      message_size > base::kMaxQueueMessageSize || zero != 0 || also_zero != 0) {
    return Violation(absl::StrCat("the geometry {", absl::StrJoin(geometry, ", "), "}, expected 1 to ",
                                  base::kMaxQueueMessages, " messages of ", base::kMinQueueMessageSize, " to ",
                                  base::kMaxQueueMessageSize, " B, and two zeros"));
  }
  const QueueSize size{.max_messages = messages, .message_size = message_size};
  if (absl::Status status = VerifyQueueEnd(fds[0], QueueEnd::kWrite, size); !status.ok()) return status;
  return VerifyQueueEnd(fds[1], QueueEnd::kRead, size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferMq(const TransportConfig& config) {
  const absl::StatusOr<QueueSize> size = ChooseQueueSize(QueueLimits::Now(), config.expected_clients);
  if (!size.ok()) return size.status();
  return OfferMqOfSize(*size);
}

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferMqOfSize(const QueueSize& size) {
  absl::StatusOr<Queue> to_server = CreateQueue(size);
  if (!to_server.ok()) return to_server.status();
  absl::StatusOr<Queue> to_client = CreateQueue(size);
  if (!to_client.ok()) return to_client.status();
  return std::make_unique<MqOffer>(size, *std::move(to_server), *std::move(to_client));
}

absl::StatusOr<std::unique_ptr<Transport>> AttachMq(std::vector<base::Fd>&& fds, const Geometry& geometry) {
  if (absl::Status status = VerifyOffer(fds, geometry); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
  if (!sleeper.ok()) return sleeper.status();
  return std::make_unique<MqTransport>(MqEnd{.write_end = std::move(fds[0]),
                                             .read_end = std::move(fds[1]),
                                             .size = {.max_messages = geometry[0], .message_size = geometry[1]},
                                             .sleeper = *std::move(sleeper)});
}

}  // namespace nearcall::transport::mq
