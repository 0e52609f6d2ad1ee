// SPDX-License-Identifier: Apache-2.0
#include "rpc/channel_services.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/protobuf_log.h"
#include "rpc/server/poller.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"
#include "session/waiting.h"
#include "transport/connection.h"

namespace nearcall::rpc {

namespace {

constexpr char kDestroyedInItsHandler[] =
    "a channel is destroyed by a handler of its own ChannelOptions::services: it hangs up on its server, and what "
    "served is left in memory. Let go of the channel elsewhere";

// Large enough for what is granted, and so that no large message of the server's shuts others out.
ServerOptions OptionsOf(const ChannelOptions& options) {
  ServerOptions served;
  served.max_message_size = options.max_message_size;
  served.max_queued_calls = base::kServedCallsGranted;
  // Nothing stops the reading of a connection on which this side waits for replies: what is too much is refused.
  served.max_queued_bytes = std::numeric_limits<size_t>::max();
  served.max_handler_threads = base::kServedHandlers;
  served.max_waiting_handlers = base::kServedCallsGranted;
  served.max_spin = absl::ZeroDuration();
  served.log_sink = options.log_sink;
  served.stats = false;
  served.handler_stack_size = options.callback_stack_size;
  served.stream_window_bytes = options.stream_window_bytes;
  served.max_attachment_bytes = options.max_attachment_bytes;
  served.trust_sender = options.trust_sender;
  served.max_stream_bytes = base::kServedCallsGranted * options.stream_window_bytes;
  served.max_total_calls = 4 * base::kServedCallsGranted;
  served.max_total_bytes = 2 * options.max_message_size + options.max_queued_bytes + served.max_stream_bytes;
  return served;
}

// Reads what comes over a channel's connection, also while nobody waits for anything of it.
class StandingReader {
 public:
  explicit StandingReader(std::shared_ptr<session::ClientSession> session) : session_(std::move(session)) {}

  absl::Status Start() {
    return thread_.Start("nearcall-read", base::kOwnStack, [this] {
      session::Waiting waiting;
      session::ClientSession& session = *session_;
      base::UntilThereIsMemory(
          [&] { session.readers().Wait(waiting, base::kNever, [&session] { return session.end().dead(); }); });
      over_.store(true, std::memory_order_release);
    });
  }
  bool over() const { return over_.load(std::memory_order_acquire); }
  void HangUp() { session_->HangUp(); }
  void Join() {
    if (thread_.joinable()) thread_.Join();
  }

 private:
  const std::shared_ptr<session::ClientSession> session_;
  std::atomic<bool> over_{false};
  base::Thread thread_;
};

// A poller without a door: its connections are the channel's, one after the other.
class ServedChannel final : public ChannelServices {
 public:
  explicit ServedChannel(const ChannelOptions& options) : core_(OptionsOf(options), 1), poller_(core_) {}
  ~ServedChannel() override = default;

  absl::Status Start(const std::vector<Service*>& services) {
    ProtobufLog::Install();
    for (Service* service : services) {
      if (absl::Status added = core_.services.Add(service); !added.ok()) return added;
    }
    if (absl::Status started = core_.canceller->Start(); !started.ok()) return started;
    core_.of_channel = true;
    core_.on_drained = [this] { OnDrained(); };
    core_.on_place_given = [this] { poller_.resumptions().OnPlaceGiven(); };
    return poller_.Start();
  }

  absl::Status Attach(const std::shared_ptr<session::ClientSession>& session) override;
  bool Stop() override;

 private:
  void OnDrained();
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ServerCore core_;
  Poller poller_;

  base::Mutex mutex_;
  base::CondVar drained_;
  uint32_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<StandingReader>> readers_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Status ServedChannel::Attach(const std::shared_ptr<session::ClientSession>& session) {
  base::MutexLock lock(mutex_);
  if (stopped_) return absl::CancelledError("the channel has been destroyed");
  Reap();
  const uint32_t id = ++last_id_;
  transport::Connection server;
  server.peer = session->end().server().peer;
  server.peer_id = id;
  server.peer_terms = {.max_message_size = static_cast<uint32_t>(session->terms().peer_max_message_size),
                       .max_calls_in_flight = 0,
                       .stream_window = session->terms().send_window};
  const session::ServedClient client(server, core_.quota->AccountOf(::geteuid()));
  const session::ServerSessionOptions options = {
      .max_message_size = core_.options.max_message_size,
      .max_calls = core_.options.max_queued_calls,
      .stream_window = static_cast<uint32_t>(core_.options.stream_window_bytes)};
  absl::StatusOr<std::shared_ptr<session::ServerSession>> guest = session::ServerSession::StartOver(
      session, client, options, core_.logger,
      {.on_gone = [this, id] { poller_.Remove(id); }, .on_ring = [this, id] { poller_.resumptions().LookAt(id); }});
  if (!guest.ok()) return guest.status();
  auto reader = std::make_unique<StandingReader>(session);
  if (absl::Status started = reader->Start(); !started.ok()) {
    session->HangUp();
    (*guest)->listener().Detach();
    return started;
  }
  readers_.push_back(std::move(reader));
  poller_.Add(*guest);
  return absl::OkStatus();
}

// Those of connections that have ended.
void ServedChannel::Reap() {
  std::erase_if(readers_, [](const std::unique_ptr<StandingReader>& reader) {
    if (!reader->over()) return false;
    reader->Join();
    return true;
  });
}

void ServedChannel::OnDrained() {
  base::MutexLock lock(mutex_);
  drained_.NotifyAll();
}

bool ServedChannel::Stop() {
  core_.draining.store(true, std::memory_order_seq_cst);
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
    for (const auto& reader : readers_) reader->HangUp();
  }
  if (core_.threads.OnItsThread() || core_.canceller->IsCurrent()) {
    core_.logger->Log({}, LogSeverity::kError, kDestroyedInItsHandler);
    core_.logger->Flush();
    return false;
  }
  {
    base::MutexLock lock(mutex_);
    while (core_.active_calls.load(std::memory_order_seq_cst) != 0) drained_.Wait(mutex_);
    for (const auto& reader : readers_) reader->Join();
  }
  core_.answering->WaitUntilEmpty();
  poller_.Stop();
  core_.threads.Join();
  poller_.Clear();
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChannelServices>> ChannelServices::Start(const ChannelOptions& options) {
  auto services = std::make_unique<ServedChannel>(options);
  absl::Status started = services->Start(options.services);
  if (started.ok()) return services;
  if (!services->Stop()) static_cast<void>(services.release());
  return started;
}

}  // namespace nearcall::rpc
