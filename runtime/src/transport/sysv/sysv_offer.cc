// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/sysv_offer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/fork.h"
#include "base/limits.h"
#include "transport/fd_sleeper.h"
#include "transport/sysctl.h"
#include "transport/sysv/bell.h"
#include "transport/sysv/journal.h"
#include "transport/sysv/process.h"
#include "transport/sysv/queue.h"
#include "transport/sysv/queue_size.h"
#include "transport/sysv/sysv_transport.h"

namespace nearcall::transport::sysv {

namespace {

using base::Fd;

class SysvOffer final : public TransportOffer {
 public:
  SysvOffer(Journal journal, Bell::Made to_server, Bell::Made to_client, pid_t client)
      : journal_(std::move(journal)),
        to_server_bell_(std::move(to_server)),
        to_client_bell_(std::move(to_client)),
        client_(client) {}
  ~SysvOffer() override;

  absl::Status CreateQueues(uid_t client);

  Geometry geometry() const override {
    return {static_cast<uint64_t>(to_server_), static_cast<uint64_t>(to_client_), max_frame_size_, IpcNamespace()};
  }
  std::vector<int> fds() const override { return {to_server_bell_.passed.get(), to_client_bell_.passed.get()}; }
  absl::StatusOr<std::unique_ptr<Transport>> Accept() override;

 private:
  const base::ForkGuard fork_guard_;
  std::optional<Journal> journal_;  // none: accepted
  QueueId to_server_ = kNoQueue;
  QueueId to_client_ = kNoQueue;
  size_t max_frame_size_ = 0;
  Bell::Made to_server_bell_;
  Bell::Made to_client_bell_;
  const pid_t client_;
};

absl::Status SysvOffer::CreateQueues(uid_t client) {
  const absl::StatusOr<QueueId> to_server = CreateQueue(journal_->to_server_key(), client);
  if (!to_server.ok()) return to_server.status();
  to_server_ = *to_server;
  const absl::StatusOr<QueueId> to_client = CreateQueue(journal_->to_client_key(), client);
  if (!to_client.ok()) return to_client.status();
  to_client_ = *to_client;
  const std::optional<QueueLevel> level = LevelOf(to_server_);
  if (!level) return absl::UnavailableError("sysv: a queue that was just made was removed");
  const absl::StatusOr<size_t> size =
      ChooseFrameSize(level->capacity_bytes, ReadSysctl("kernel/msgmax").value_or(base::kMaxQueueMessageSize));
  if (size.ok()) max_frame_size_ = *size;
  return size.status();
}

SysvOffer::~SysvOffer() {
  if (!journal_ || fork_guard_.InChild()) return;
  RemoveQueue(to_server_);
  RemoveQueue(to_client_);
  journal_->Remove();
}

absl::StatusOr<std::unique_ptr<Transport>> SysvOffer::Accept() {
  NEARCALL_CHECK(journal_.has_value());
  std::optional<Journal> journal(std::move(journal_));
  journal_.reset();
  return std::make_unique<SysvTransport>(SysvEnd{.outgoing = to_client_,
                                                 .incoming = to_server_,
                                                 .outgoing_bell = std::move(to_client_bell_.bell),
                                                 .incoming_bell = std::move(to_server_bell_.bell),
                                                 .max_frame_size = max_frame_size_,
                                                 .peer = client_,
                                                 .sleeper = nullptr,
                                                 .journal = std::move(journal)});
}

absl::Status VerifyOffer(std::span<const Fd> fds, const Geometry& geometry, const PeerIdentity& server) {
  const auto [to_server, to_client, frame, ipc_namespace] = geometry;
  constexpr auto kMaxId = static_cast<uint64_t>(std::numeric_limits<QueueId>::max());
  const bool is_right = fds.size() == 2 && to_server <= kMaxId && to_client <= kMaxId && to_server != to_client &&
                        frame >= base::kMinQueueMessageSize && frame <= base::kMaxQueueMessageSize;
  if (!is_right) {
    return absl::InternalError(absl::StrCat("sysv: the server broke the protocol: it sent ", fds.size(),
                                            " descriptors and the geometry {", absl::StrJoin(geometry, ", "),
                                            "}, expected 2, two queues, a frame of ", base::kMinQueueMessageSize,
                                            " to ", base::kMaxQueueMessageSize, " B, and an IPC namespace"));
  }
  if (ipc_namespace != IpcNamespace()) {
    return absl::FailedPreconditionError(
        "sysv: the server is in another IPC namespace (ipc_namespaces(7), of a container), where its queues are; use "
        "shm:");
  }
  if (absl::Status status = VerifyQueue(static_cast<QueueId>(to_server), server); !status.ok()) return status;
  return VerifyQueue(static_cast<QueueId>(to_client), server);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferSysv(const TransportConfig& /*config*/,
                                                          const PeerIdentity& client) {
  absl::StatusOr<Bell::Made> to_server = Bell::Create();
  if (!to_server.ok()) return to_server.status();
  absl::StatusOr<Bell::Made> to_client = Bell::Create();
  if (!to_client.ok()) return to_client.status();
  absl::StatusOr<Journal> journal = Journal::Create();
  if (!journal.ok()) return journal.status();
  auto offer =
      std::make_unique<SysvOffer>(*std::move(journal), *std::move(to_server), *std::move(to_client), client.pid);
  if (absl::Status created = offer->CreateQueues(client.uid); !created.ok()) return created;
  return offer;
}

absl::StatusOr<std::unique_ptr<Transport>> AttachSysv(std::vector<Fd>&& fds, const Geometry& geometry,
                                                      const PeerIdentity& server) {
  if (absl::Status status = VerifyOffer(fds, geometry, server); !status.ok()) return status;
  absl::StatusOr<Bell> to_server = Bell::Open(fds[0]);
  if (!to_server.ok()) return to_server.status();
  absl::StatusOr<Bell> to_client = Bell::Open(fds[1]);
  if (!to_client.ok()) return to_client.status();
  absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
  if (!sleeper.ok()) return sleeper.status();
  return std::make_unique<SysvTransport>(SysvEnd{.outgoing = static_cast<QueueId>(geometry[0]),
                                                 .incoming = static_cast<QueueId>(geometry[1]),
                                                 .outgoing_bell = *std::move(to_server),
                                                 .incoming_bell = *std::move(to_client),
                                                 .max_frame_size = geometry[2],
                                                 .peer = server.pid,
                                                 .sleeper = *std::move(sleeper),
                                                 .journal = std::nullopt});
}

void SweepSysv() {
  Journal::Sweep();
}

}  // namespace nearcall::transport::sysv
