// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/handshakes.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::rpc {

Handshakes::Handshakes(ServerCore& core, Admission& admission, ConnectionIds& ids, OnConnection on_connection,
                       OnSuccessor on_successor)
    : core_(core),
      admission_(admission),
      ids_(ids),
      on_connection_(std::move(on_connection)),
      on_successor_(std::move(on_successor)),
      server_id_(static_cast<uint32_t>(::getpid())) {}

base::SteadyNs Handshakes::RoomAt() const {
  if (silent_count_ < base::kMaxHalfOpen) return 0;
  return base::AddNs(half_open_.at(OldestOfTheGreediest())->since, base::kHelloGraceNs);
}

Handshakes::Id Handshakes::OldestOfTheGreediest() const {
  const auto greediest = std::max_element(
      silent_.begin(), silent_.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  return *greediest->second.begin();
}

absl::Status Handshakes::Begin(transport::Newcomer newcomer, const Transports& transports, const absl::Status& refusal,
                               const std::shared_ptr<transport::Listener>& listener) {
  if (silent_count_ >= base::kMaxHalfOpen) Drop(OldestOfTheGreediest());
  HalfOpenPtr half_open = Make(std::move(newcomer), transports, refusal, listener);
  // SUBTLE: it counts before its first step. The hello with which that may answer makes the client believe that it is
  // connected, and a server that ends waits for it from then on.
  count_.store(half_open_.size() + 1, std::memory_order_seq_cst);
  const absl::Cleanup count = [this] { Count(); };
  Progress progress;
  try {
    progress = half_open->handshake->Step();
  } catch (const std::bad_alloc&) {
    HangUp(*half_open);
    throw;
  }
  if (progress == Progress::kWaiting) return Keep(std::move(half_open));
  End(*half_open, progress);
  return absl::OkStatus();
}

Handshakes::HalfOpenPtr Handshakes::Make(transport::Newcomer newcomer, const Transports& transports,
                                         const absl::Status& refusal,
                                         const std::shared_ptr<transport::Listener>& listener) {
  auto half_open = std::make_unique<HalfOpen>();
  half_open->id = ids_.Take();
  half_open->since = base::NowNs();
  half_open->connected_by = newcomer.connected_by;
  half_open->listener = listener;
  transport::ServeParams params;
  params.allowed_uids = core_.options.allowed_uids;
  params.allowed_gids = core_.options.allowed_gids;
  params.transports = transports;
  params.config = {.ring_size_bytes = base::kDefaultRingSize, .expected_clients = core_.options.expected_clients};
  params.blockable_for_other_users = core_.options.blockable_transports_for_other_users;
  params.terms = {.max_message_size = static_cast<uint32_t>(core_.options.max_message_size),
                  .max_calls_in_flight = static_cast<uint32_t>(core_.options.max_queued_calls),
                  .stream_window = static_cast<uint32_t>(core_.options.stream_window_bytes),
                  .max_descriptors = static_cast<uint8_t>(core_.options.max_descriptors_per_message),
                  .max_attachments = uint8_t{base::kMaxMessageAttachments},
                  .max_attachment_bytes = static_cast<uint32_t>(core_.options.max_attachment_bytes),
                  .takes_lent = uint8_t{core_.options.trust_sender}};
  params.offers_side_socket = core_.offers_side_socket();
  params.wants_method_names = core_.services.generic() != nullptr;
  params.server_id = server_id_;
  params.connection_id = half_open->id->id();
  params.listener = listener;
  params.admit = [this, raw = half_open.get(), refusal](const PeerIdentity& peer) {
    return Admit(*raw, peer, refusal);
  };
  half_open->handshake = std::move(newcomer.shake_hands)(std::move(params));
  return half_open;
}

// Asked by the handshake when the kernel has said who the client is.
absl::Status Handshakes::Admit(HalfOpen& half_open, const PeerIdentity& peer, const absl::Status& refusal) {
  if (!refusal.ok()) return refusal;
  if (absl::Status admitted = admission_.Admit(peer.uid); !admitted.ok()) return admitted;
  half_open.admitted = true;
  half_open.uid = peer.uid;
  return absl::OkStatus();
}

// Until its socket is readable.
absl::Status Handshakes::Keep(HalfOpenPtr half_open) {
  const Id id = next_id_++;
  HalfOpen& kept = *half_open;
  try {
    if (!kept.admitted && !kept.handshake->is_successor()) {
      silent_[kept.connected_by].insert(id);
      ++silent_count_;
    }
    half_open_.emplace(id, std::move(half_open));
  } catch (const std::bad_alloc&) {
    Speaks(id, kept);
    HangUp(kept);
    throw;
  }
  epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, kept.handshake->fd(), &event) == 0) return absl::OkStatus();
  absl::Status status = base::ErrnoStatus("cannot watch a client that has connected (epoll_ctl)");
  Drop(id);
  return status;
}

// It is none of those who have not said hello, or no longer.
void Handshakes::Speaks(Id id, const HalfOpen& half_open) {
  const auto found = silent_.find(half_open.connected_by);
  if (found == silent_.end()) return;
  silent_count_ -= found->second.erase(id);
  if (found->second.empty()) silent_.erase(found);
}

void Handshakes::Step(Id id) {
  const auto found = half_open_.find(id);
  if (found == half_open_.end()) return;  // dropped in the same turn
  HalfOpen& half_open = *found->second;
  Progress progress = Progress::kFailed;  // of those for whom there is no memory
  try {
    progress = half_open.handshake->Step();
  } catch (const std::bad_alloc&) {
    return Drop(id);
  }
  if (half_open.admitted || half_open.handshake->is_successor()) Speaks(id, half_open);
  if (progress == Progress::kWaiting) return;
  End(*TakeOut(id), progress);
  Count();
}

Handshakes::HalfOpenPtr Handshakes::TakeOut(Id id) {
  HalfOpenPtr half_open = std::move(half_open_.extract(id).mapped());
  Speaks(id, *half_open);
  // Explicitly: a forked child may hold a duplicate, and then closing ours would not end the watch (epoll(7)).
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, half_open->handshake->fd(), nullptr);
  return half_open;
}

void Handshakes::End(HalfOpen& half_open, Progress progress) {
  if (progress == Progress::kDone) return on_connection_(half_open.handshake->Take(), std::move(half_open.id));
  HangUp(half_open);
  if (progress == Progress::kSucceeded) {
    const std::shared_ptr<transport::Listener> listener = half_open.listener.lock();
    if (listener != nullptr) on_successor_(*listener, half_open.handshake->peer_pid());
    return;
  }
  // One that has just gone again is no news: so does a starting server that looks whose names are alive.
  const absl::Status error = half_open.handshake->error();
  if (absl::IsUnavailable(error) || absl::IsCancelled(error)) return;
  if (error.GetPayload(transport::kNotOffered).has_value()) return;
  core_.logger->Log({base::LogKind::kTurnedAway, half_open.handshake->peer_uid()}, LogSeverity::kWarning,
                    absl::StrCat("a client was turned away: ", error.message()));
}

void Handshakes::HangUp(HalfOpen& half_open) {
  // Heard even if a forked child holds a duplicate.
  ::shutdown(half_open.handshake->fd(), SHUT_RDWR);
  if (half_open.admitted) admission_.Leave(half_open.uid);
}

void Handshakes::Drop(Id id) {
  HangUp(*TakeOut(id));
  Count();
}

// Release: whoever sees that a finished one is not here finds it where it has gone (Door::IsEmpty).
void Handshakes::Count() {
  count_.store(half_open_.size(), std::memory_order_release);
}

base::SteadyNs Handshakes::NextDeadline() const {
  if (half_open_.empty()) return base::kNever;
  return base::AddNs(half_open_.begin()->second->since, absl::ToInt64Nanoseconds(core_.options.handshake_timeout));
}

void Handshakes::DropLate(base::SteadyNs now) {
  while (NextDeadline() <= now) Drop(half_open_.begin()->first);
}

void Handshakes::DropSilent() {
  while (silent_count_ != 0) Drop(*silent_.begin()->second.begin());
}

void Handshakes::DropAll() {
  while (!half_open_.empty()) Drop(half_open_.begin()->first);
}

}  // namespace nearcall::rpc
