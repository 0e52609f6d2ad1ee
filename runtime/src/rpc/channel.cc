// SPDX-License-Identifier: Apache-2.0
#include "rpc/channel.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/waiter.h"
#include "rpc/blocking_call.h"
#include "rpc/call_head.h"
#include "rpc/protobuf_log.h"
#include "transport/rendezvous.h"
#include "transport/transport_table.h"

namespace nearcall {

namespace {

absl::Status CheckOptions(const ChannelOptions& options) {
  if (options.max_message_size == 0 || options.max_message_size > base::kMaxMessageSize) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::max_message_size is ", options.max_message_size,
                                                   ", allowed are 1 to ", base::kMaxMessageSize));
  }
  if (options.max_calls_in_flight == 0 || options.max_calls_in_flight > base::kMaxCallsInFlight) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::max_calls_in_flight is ",
                                                   options.max_calls_in_flight, ", allowed are 1 to ",
                                                   base::kMaxCallsInFlight));
  }
  if (options.stream_window_bytes == 0 || options.stream_window_bytes > base::kMaxMessageSize) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::stream_window_bytes is ",
                                                   options.stream_window_bytes, ", allowed are 1 to ",
                                                   base::kMaxMessageSize));
  }
  if (absl::Status stack = base::Thread::CheckStack("ChannelOptions::callback_stack_size", options.callback_stack_size);
      !stack.ok()) {
    return stack;
  }
  if (options.handshake_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("ChannelOptions::handshake_timeout must be more than zero");
  }
  return absl::OkStatus();
}

// A bare name means the transport that the environment names.
absl::StatusOr<transport::Address> ResolveAddress(absl::string_view text) {
  absl::StatusOr<transport::Address> address = transport::ParseAddress(text);
  if (!address.ok() || !address->transport.empty() || address->kind == transport::Address::Kind::kFd) return address;
  const char* preferred = ::secure_getenv("NEARCALL_TRANSPORT");
  if (preferred == nullptr || *preferred == '\0') return address;
  if (transport::FindTransport(preferred) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("NEARCALL_TRANSPORT=", preferred, " names no transport that there is"));
  }
  address->transport = preferred;
  return address;
}

// False: stopped before.
bool SleepUntil(base::SteadyNs until, const std::stop_token& stop) {
  base::Waiter waiter;
  const std::stop_callback on_stop(stop, [&waiter] { waiter.Finish(); });
  while (!waiter.finished() && base::NowNs() < until) waiter.Wait(until);
  return !waiter.finished();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Channel>> Channel::Connect(absl::string_view address, ChannelOptions options) {
  const base::CancelDisabled uncancelled;
  return base::OrNoMemory([&]() -> absl::StatusOr<std::shared_ptr<Channel>> {
    if (absl::Status status = CheckOptions(options); !status.ok()) return status;
    absl::StatusOr<transport::Address> resolved = ResolveAddress(address);
    if (!resolved.ok()) return resolved.status();
    auto channel = std::make_shared<rpc::ChannelImpl>(*std::move(resolved), std::move(options));
    if (absl::Status status = channel->ConnectFirst(); !status.ok()) return status;
    return channel;
  });
}

}  // namespace nearcall

namespace nearcall::rpc {

namespace {

// How a call ends for which there was no memory.
class Unmade final : public internal::Outcome {
 public:
  absl::Status Take(google::protobuf::MessageLite&) override { return base::NoMemory(); }
};

}  // namespace

ChannelImpl::ChannelImpl(transport::Address address, ChannelOptions options)
    : address_(std::move(address)),
      options_(std::move(options)),
      logger_(std::make_shared<base::Logger>(options_.log_sink)) {
  ProtobufLog::Install();
}

ChannelImpl::~ChannelImpl() {
  const base::CancelDisabled uncancelled;
  std::vector<std::shared_ptr<AsyncCalls>> async;
  if (fork_guard_.InChild()) {
    // Their threads, and whatever locks these held, are the parent's.
    static_cast<void>(new auto(std::move(async_)));
    return;
  }
  {
    base::MutexLock lock(mutex_);
    closing_ = true;
    async.swap(async_);
  }
  for (const auto& calls : async) calls->Stop();
  logger_->Close();
}

absl::Status ChannelImpl::ConnectFirst() {
  return GetSession({.for_server = base::AfterNow(std::max(options_.connect_timeout, absl::ZeroDuration())),
                     .deadline = base::kNever})
      .status();
}

std::string ChannelImpl::transport() const {
  base::MutexLock lock(mutex_);
  return transport_name_;
}

std::string ChannelImpl::DebugString() const {
  SessionPtr session;
  {
    base::MutexLock lock(mutex_);
    session = session_;
  }
  return session == nullptr ? absl::StrCat("no connection to ", address_.text) : session->DebugString();
}

absl::Status ChannelImpl::CheckNotForked() const {
  if (!fork_guard_.InChild()) return absl::OkStatus();
  return base::WithExecState(
      absl::FailedPreconditionError(absl::StrCat("the channel to ", address_.text,
                                                 " was made before fork(); a child must connect a channel of its own")),
      ExecState::kNotSent);
}

absl::Status ChannelImpl::BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                       google::protobuf::MessageLite& reply, const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  absl::Status status = base::OrNoMemory([&] { return TryCall(method, request, reply, options); });
  if (!status.ok()) reply.Clear();
  return status;
}

absl::Status ChannelImpl::TryCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                  google::protobuf::MessageLite& reply, const CallOptions& options) {
  if (absl::Status status = CheckNotForked(); !status.ok()) return status;
  rpc::BlockingCall call(method, options, options_.max_message_size);
  if (absl::Status status = call.Prepare(request); !status.ok()) return status;
  const Patience patience = {.for_server = options.wait_for_ready ? call.deadline() : 0,
                             .deadline = call.deadline(),
                             .stop = options.stop_token};
  for (;;) {
    absl::StatusOr<SessionPtr> session = GetSession(patience);
    if (!session.ok()) return base::WithExecState(session.status(), ExecState::kNotSent);
    absl::Status status = call.Run(**session, request, reply);
    if (!GoesElsewhere(**session, status)) return status;
  }
}

std::unique_ptr<internal::ClientStream> ChannelImpl::OpenStream(const internal::MethodInfo& method,
                                                                const google::protobuf::MessageLite* request,
                                                                const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  std::unique_ptr<ClientStreamImpl> stream;
  base::UntilThereIsMemory(
      [&] { stream = std::make_unique<ClientStreamImpl>(method, options, options_.max_message_size); });
  absl::Status opened = base::OrNoMemory([&] { return TryOpen(*stream, request, options); });
  if (!opened.ok()) stream->EndUnsent(std::move(opened));
  return stream;
}

absl::Status ChannelImpl::TryOpen(ClientStreamImpl& stream, const google::protobuf::MessageLite* request,
                                  const CallOptions& options) {
  if (absl::Status status = CheckNotForked(); !status.ok()) return status;
  if (absl::Status status = stream.Prepare(request); !status.ok()) return status;
  const Patience patience = {.for_server = options.wait_for_ready ? stream.deadline() : 0,
                             .deadline = stream.deadline(),
                             .stop = options.stop_token};
  for (;;) {
    absl::StatusOr<SessionPtr> session = GetSession(patience);
    if (!session.ok()) return base::WithExecState(session.status(), ExecState::kNotSent);
    absl::Status status = stream.Open(*session, request);
    if (status.ok() || !GoesElsewhere(**session, status)) return status;
  }
}

void ChannelImpl::StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            const CallOptions& options, internal::OnOutcome done) {
  const base::CancelDisabled uncancelled;
  std::shared_ptr<AsyncCall> call;
  try {
    call = std::make_shared<AsyncCall>(method, options, options_.max_message_size, std::move(done));
  } catch (const std::bad_alloc&) {
    Unmade outcome;
    std::move(done)(outcome);
    return;
  }
  call->failure = CheckNotForked();
  if (call->failure.ok()) call->failure = base::OrNoMemory([&] { return call->Prepare(request); });
  try {
    if (!fork_guard_.InChild() && StartElsewhere(call)) return;
  } catch (const std::bad_alloc&) {
    call->EndUnsent(base::NoMemory());
  }
  // No thread of this channel: one that does nothing else.
  if (call->failure.ok()) call->EndUnsent(absl::ResourceExhaustedError("no thread can be made for asynchronous calls"));
  const auto run = [call] {
    base::Buffer spare;
    call->TakeAnswer(spare);
    call->RunCallback(spare);
  };
  base::Thread thread;
  if (thread.Start("nearcall-calls", base::Thread::StackFor(options_.callback_stack_size), run).ok()) {
    thread.Detach();
  } else {
    run();
  }
}

bool ChannelImpl::StartElsewhere(const std::shared_ptr<AsyncCall>& call) {
  while (const std::shared_ptr<AsyncCalls> calls = PresentAsyncCalls()) {
    const AsyncCalls::Started started = calls->Start(call);
    if (started == AsyncCalls::Started::kNoThread) return false;
    if (started != AsyncCalls::Started::kElsewhere) return true;
  }
  return false;
}

std::shared_ptr<AsyncCalls> ChannelImpl::PresentAsyncCalls() {
  std::vector<std::shared_ptr<AsyncCalls>> ended;
  std::shared_ptr<AsyncCalls> present;
  {
    base::MutexLock lock(mutex_);
    if (closing_) return nullptr;
    if (!async_.empty() && !async_.back()->retired()) return async_.back();
    const auto first_ended =
        std::stable_partition(async_.begin(), async_.end(), [](const auto& calls) { return !calls->finished(); });
    std::move(first_ended, async_.end(), std::back_inserter(ended));
    async_.erase(first_ended, async_.end());
    const SessionPtr session = session_ != nullptr && session_->usable() ? session_ : nullptr;
    AsyncCalls::Owner& owner = *this;
    present = async_.emplace_back(std::make_shared<AsyncCalls>(owner, options_, logger_, session));
  }
  for (const auto& calls : ended) calls->Stop();
  return present;
}

absl::StatusOr<ChannelImpl::SessionPtr> ChannelImpl::Connect(base::SteadyNs deadline) {
  return GetSession({.for_server = 0, .deadline = deadline});
}

absl::StatusOr<ChannelImpl::SessionPtr> ChannelImpl::GetSession(const Patience& patience) {
  {
    base::MutexLock lock(mutex_);
    if (session_ != nullptr && session_->usable()) return session_;
  }
  base::Backoff backoff(base::kReconnectMinNs, base::kReconnectMaxNs);
  for (;;) {
    absl::StatusOr<SessionPtr> session = Reconnect(patience.deadline);
    const base::SteadyNs now = base::NowNs();
    // Nobody is there, or nobody has answered in time: the one may come, and the other may just have too much to do.
    const bool late = absl::IsDeadlineExceeded(session.status());
    if (session.ok() || !(late || absl::IsUnavailable(session.status()))) return session;
    const absl::string_view why = session.status().message();
    if (now >= patience.deadline && !late) {
      return absl::DeadlineExceededError(absl::StrCat("the deadline passed while the call waited for a server: ", why));
    }
    if (now >= patience.deadline || now >= patience.for_server) return session;
    if (!SleepUntil(base::AddNs(now, std::min(backoff.NextNs(), patience.for_server - now)), patience.stop)) {
      return absl::CancelledError(absl::StrCat("the call was cancelled while it waited for a server: ", why));
    }
  }
}

// One attempt, shared by all callers that come while it runs.
absl::StatusOr<ChannelImpl::SessionPtr> ChannelImpl::Reconnect(base::SteadyNs deadline) {
  {
    base::MutexLock lock(mutex_);
    while (connecting_) {
      const uint64_t attempt = attempts_;
      while (attempts_ == attempt && base::NowNs() < deadline) attempt_ended_.WaitUntil(mutex_, deadline);
      if (attempts_ == attempt) {
        return absl::DeadlineExceededError(absl::StrCat("no connection to ", address_.text, " within the deadline"));
      }
      if (session_ != nullptr && session_->usable()) break;
      // It was no failure: the connection came and has ended already. Or it was one of another caller's deadline, which
      // says nothing about this one's.
      if (!last_failure_.ok() && !absl::IsDeadlineExceeded(last_failure_)) return base::UnsharedCopy(last_failure_);
    }
    if (session_ != nullptr && session_->usable()) return session_;
    // The number may be another descriptor's by now.
    if (address_.kind == transport::Address::Kind::kFd && attempts_ != 0) {
      return absl::UnavailableError(absl::StrCat("the server at ", address_.text,
                                                 " has gone away, and an inherited socket cannot be connected again"));
    }
    connecting_ = true;
  }
  absl::StatusOr<SessionPtr> fresh = base::OrNoMemory([&] { return ConnectOnce(deadline); });
  SessionPtr old;  // destroyed without the lock
  base::MutexLock lock(mutex_);
  connecting_ = false;
  ++attempts_;
  attempt_ended_.NotifyAll();
  old = std::exchange(session_, fresh.ok() ? *fresh : nullptr);
  if (fresh.ok()) transport_name_ = (*fresh)->server().transport;
  last_failure_ = base::UnsharedCopy(fresh.status());
  return fresh;
}

absl::StatusOr<ChannelImpl::SessionPtr> ChannelImpl::ConnectOnce(base::SteadyNs deadline) {
  transport::ConnectParams params;
  params.allowed_uids = options_.allowed_uids;
  params.deadline = std::min(deadline, base::AfterNow(options_.handshake_timeout));
  // A server begins no calls here.
  params.terms = {.max_message_size = static_cast<uint32_t>(options_.max_message_size),
                  .max_calls_in_flight = 0,
                  .stream_window = static_cast<uint32_t>(options_.stream_window_bytes)};
  absl::StatusOr<transport::Connection> connection = transport::Connect(address_, params);
  if (!connection.ok()) return connection.status();
  const session::ClientSessionOptions session_options = {
      .max_message_size = options_.max_message_size,
      .max_calls_in_flight = options_.max_calls_in_flight,
      .max_queued_bytes = options_.max_queued_bytes,
      .max_spin_ns = absl::ToInt64Nanoseconds(std::max(options_.max_spin, absl::ZeroDuration())),
      .stream_window = static_cast<uint32_t>(options_.stream_window_bytes)};
  return session::ClientSession::Start(*std::move(connection), session_options, logger_, address_.text);
}

}  // namespace nearcall::rpc
