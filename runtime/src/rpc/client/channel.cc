// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/channel.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "nearcall/event_queue.h"
#include "rpc/channel_over.h"
#include "rpc/client/blocking_call.h"
#include "rpc/client/call_head.h"
#include "rpc/client/children.h"
#include "rpc/client/held_call.h"
#include "rpc/client/intercepted_channel.h"
#include "rpc/client/open_call.h"
#include "rpc/client/open_stream_call.h"
#include "rpc/protobuf_log.h"
#include "rpc/reactor_of.h"
#include "transport/child.h"
#include "transport/transport_table.h"

namespace nearcall {

namespace {

absl::Status CheckExec(const ExecOptions& options) {
  constexpr size_t kMostRestarts = 60'000;
  constexpr absl::Duration kLongestPause = absl::Hours(1);
  if (options.max_restarts_per_minute > kMostRestarts) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::exec.max_restarts_per_minute is ",
                                                   options.max_restarts_per_minute, ", allowed are 0 to ",
                                                   kMostRestarts));
  }
  if (options.max_pause < absl::ZeroDuration() || options.max_pause > kLongestPause) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::exec.max_pause is ",
                                                   absl::FormatDuration(options.max_pause), ", allowed are 0 to ",
                                                   absl::FormatDuration(kLongestPause)));
  }
  return transport::CheckProgram(rpc::ProgramOf("", options));
}

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
  if (options.max_attachment_bytes > base::kMaxAttachmentBytes) {
    return absl::InvalidArgumentError(absl::StrCat("ChannelOptions::max_attachment_bytes is ",
                                                   options.max_attachment_bytes, ", allowed are 0 to ",
                                                   base::kMaxAttachmentBytes));
  }
  if (absl::Status stack = base::Thread::CheckStack("ChannelOptions::callback_stack_size", options.callback_stack_size);
      !stack.ok()) {
    return stack;
  }
  if (options.handshake_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("ChannelOptions::handshake_timeout must be more than zero");
  }
  constexpr absl::Duration kShortest = absl::Nanoseconds(base::kMinKeepaliveNs);
  if (options.keepalive.interval < kShortest || options.keepalive.timeout < kShortest) {
    return absl::InvalidArgumentError(
        absl::StrCat("ChannelOptions::keepalive has an interval of ", absl::FormatDuration(options.keepalive.interval),
                     " and a timeout of ", absl::FormatDuration(options.keepalive.timeout), ", each must be at least ",
                     absl::FormatDuration(kShortest)));
  }
  if (absl::Status exec = CheckExec(options.exec); !exec.ok()) return exec;
  if (options.event_queue != nullptr && options.event_queue->fd() < 0) {
    return absl::ResourceExhaustedError(
        "ChannelOptions::event_queue has no descriptors: there were none left when it was made (RLIMIT_NOFILE)");
  }
  if (std::find(options.services.begin(), options.services.end(), nullptr) != options.services.end()) {
    return absl::InvalidArgumentError("ChannelOptions::services has a null pointer");
  }
  if (std::find(options.interceptors.begin(), options.interceptors.end(), nullptr) != options.interceptors.end()) {
    return absl::InvalidArgumentError("ChannelOptions::interceptors has a null pointer");
  }
  if (options.event_queue != nullptr && !options.services.empty()) {
    return absl::UnimplementedError(
        "ChannelOptions has both services and an event_queue: what a channel serves runs on threads of its own, and "
        "cannot run in a queue yet. Use a channel without a queue for it");
  }
  return absl::OkStatus();
}

// A bare name means the transport that the environment names.
absl::StatusOr<transport::Address> ResolveAddress(absl::string_view text) {
  absl::StatusOr<transport::Address> address = transport::ParseAddress(text);
  if (address.ok() && address->kind == transport::Address::Kind::kActivated) {
    return absl::InvalidArgumentError(absl::StrCat(
        text,
        ": only a server listens there; a channel connects to the path that the .socket unit names, as shm:/path"));
  }
  if (address.ok() && address->kind == transport::Address::Kind::kInherited) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, " only a server listens there, the program that a channel to exec:/path/of/it starts"));
  }
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

}  // namespace

absl::StatusOr<std::shared_ptr<Channel>> Channel::Connect(absl::string_view address, ChannelOptions options) {
  const base::CancelDisabled uncancelled;
  return base::OrNoMemory([&]() -> absl::StatusOr<std::shared_ptr<Channel>> {
    if (absl::Status status = CheckOptions(options); !status.ok()) return status;
    absl::StatusOr<transport::Address> resolved = ResolveAddress(address);
    if (!resolved.ok()) return resolved.status();
    std::vector<std::shared_ptr<ClientInterceptor>> interceptors = std::move(options.interceptors);
    auto channel = std::make_shared<rpc::ChannelImpl>(*std::move(resolved), std::move(options));
    if (absl::Status status = channel->StartServices(); !status.ok()) return status;
    if (!channel->lazy()) {
      if (absl::Status status = channel->ConnectFirst(); !status.ok()) return status;
    }
    return rpc::Intercepted(std::move(channel), std::move(interceptors));
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

absl::Status CheckNotForked(const base::ForkGuard& guard, const Servers& servers) {
  if (!guard.InChild()) return absl::OkStatus();
  return base::WithExecState(
      absl::FailedPreconditionError(absl::StrCat("the channel to ", servers.address().text,
                                                 " was made before fork(); a child must connect a channel of its own")),
      ExecState::kNotSent);
}

// Where somebody else reads, in turns of the queue: one of which this is.
absl::Status CheckMayBlock(const base::Reactor* queue, const Servers& servers) {
  if (servers.connects() || queue == nullptr || !queue->IsCurrent()) return absl::OkStatus();
  return base::WithExecState(
      absl::FailedPreconditionError("a blocking call to a client, in EventQueue::Run() of the queue that alone reads "
                                    "its reply, would never end: call by X::AsyncStub or X::CoStub"),
      ExecState::kNotSent);
}

CallOptions WithoutWaiting(CallOptions options) {
  options.wait_for_ready = false;
  return options;
}

}  // namespace

std::shared_ptr<Channel> Intercepted(std::shared_ptr<ChannelImpl> channel,
                                     std::vector<std::shared_ptr<ClientInterceptor>> interceptors) {
  if (interceptors.empty()) return channel;
  auto all = std::make_shared<ClientInterceptors>();
  all->all = std::move(interceptors);
  all->logger = channel->logger();
  return std::make_shared<InterceptedChannel>(std::move(channel), std::move(all));
}

ChannelImpl::ChannelImpl(transport::Address address, ChannelOptions options)
    : options_(std::move(options)),
      reactor_(ReactorOf(options_.event_queue)),
      logger_(std::make_shared<base::Logger>(options_.log_sink, reactor_.get())),
      servers_(std::move(address), options_, reactor_.get(), logger_),
      losses_(std::make_shared<LocalLosses>(logger_)),
      async_(*this, servers_, options_, reactor_.get(), logger_) {
  ProtobufLog::Install();
}

ChannelImpl::ChannelImpl(std::shared_ptr<session::ClientSession> session, absl::Status after, ChannelOptions options)
    : options_(std::move(options)),
      reactor_(ReactorOf(options_.event_queue)),
      logger_(std::make_shared<base::Logger>(options_.log_sink, reactor_.get())),
      servers_(std::move(session), std::move(after), options_, reactor_.get(), logger_),
      losses_(std::make_shared<LocalLosses>(logger_)),
      async_(*this, servers_, options_, reactor_.get(), logger_) {}

std::shared_ptr<Channel> ChannelOver(std::shared_ptr<session::ClientSession> session, absl::Status after,
                                     ChannelOptions options) {
  return std::make_shared<ChannelImpl>(std::move(session), std::move(after), std::move(options));
}

ChannelImpl::~ChannelImpl() {
  const base::CancelDisabled uncancelled;
  if (fork_guard_.InChild()) {
    async_.Leak();
    static_cast<void>(services_.release());
    return;
  }
  async_.Stop();
  if (services_ != nullptr && !services_->Stop()) static_cast<void>(services_.release());
  logger_->Close();
}

absl::Status ChannelImpl::StartServices() {
  if (options_.services.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<ChannelServices>> services = ChannelServices::Start(options_);
  if (!services.ok()) return services.status();
  services_ = *std::move(services);
  servers_.set_services(services_.get());
  return absl::OkStatus();
}

absl::Status ChannelImpl::ConnectFirst() {
  return servers_
      .Get({.for_server = base::AfterNow(std::max(options_.connect_timeout, absl::ZeroDuration())),
            .deadline = base::kNever})
      .status();
}

std::string ChannelImpl::transport() const {
  return servers_.transport();
}

std::string ChannelImpl::DebugString() const {
  const uint64_t lost = losses_->count();
  return lost == 0 ? servers_.DebugString() : absl::StrCat(servers_.DebugString(), ", ", lost, " one-way calls lost");
}

ChannelState ChannelImpl::state() const {
  return servers_.state();
}

bool ChannelImpl::WaitForStateChange(ChannelState last, absl::Time deadline) const {
  const base::CancelDisabled uncancelled;
  return servers_.WaitForChange(
      last, deadline == absl::InfiniteFuture() ? base::kNever : base::AfterNow(deadline - absl::Now()));
}

absl::Status ChannelImpl::BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                       google::protobuf::MessageLite& reply, const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  absl::Status status = base::OrNoMemory([&] { return TryCall(method, request, &reply, options); });
  if (!status.ok()) reply.Clear();
  return status;
}

// `run` with the present session; with the next one, if that one ended before anybody saw the call.
template <typename Run>
absl::Status ChannelImpl::OverASession(const CallOptions& options, base::SteadyNs deadline, const std::stop_token& stop,
                                       Run&& run) {
  const Servers::Patience patience = {
      .for_server = options.wait_for_ready ? deadline : 0, .deadline = deadline, .stop = stop};
  for (;;) {
    absl::StatusOr<SessionPtr> session = servers_.Get(patience);
    if (!session.ok()) return base::WithExecState(session.status(), ExecState::kNotSent);
    absl::Status status = run(*session);
    if (!GoesElsewhere(**session, status)) return status;
  }
}

absl::Status ChannelImpl::TryCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                  google::protobuf::MessageLite* reply, const CallOptions& options) {
  if (absl::Status status = CheckNotForked(fork_guard_, servers_); !status.ok()) return status;
  if (absl::Status status = CheckMayBlock(reactor_.get(), servers_); !status.ok()) return status;
  rpc::BlockingCall call(method, options, options_.max_message_size);
  if (absl::Status status = call.Prepare(request); !status.ok()) return status;
  return OverASession(options, call.deadline(), options.stop_token,
                      [&](const SessionPtr& session) { return call.Run(*session, request, reply); });
}

absl::Status ChannelImpl::SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                     const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  return base::OrNoMemory([&] {
    return options.capacity == Capacity::kLocal ? TryKeep(method, request, options)
                                                : TryCall(method, request, nullptr, options);
  });
}

// An asynchronous call that nobody hears of, unless it cannot be kept.
absl::Status ChannelImpl::TryKeep(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                  const CallOptions& options) {
  if (absl::Status status = CheckNotForked(fork_guard_, servers_); !status.ok()) return status;
  const auto call = std::make_shared<LocalCall>(method, options, options_.max_message_size, losses_);
  if (absl::Status status = call->Prepare(&request); !status.ok()) return status;
  if (StartElsewhere(call)) return absl::OkStatus();
  if (call->failure.ok()) call->EndUnsent(ChannelDestroyed());
  return call->failure;
}

std::unique_ptr<internal::ClientStream> ChannelImpl::OpenStream(const internal::MethodInfo& method,
                                                                const google::protobuf::MessageLite* request,
                                                                const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  std::unique_ptr<ClientStreamImpl> stream;
  const auto open_anywhere = [this](StreamAttempts& attempts, const std::stop_token& stop) {
    return OpenAnywhere(attempts, stop);
  };
  base::UntilThereIsMemory(
      [&] { stream = std::make_unique<ClientStreamImpl>(method, options, options_.max_message_size, open_anywhere); });
  absl::Status opened = base::OrNoMemory([&] { return TryOpen(*stream, request); });
  if (!opened.ok()) stream->EndUnsent(std::move(opened));
  return stream;
}

absl::Status ChannelImpl::TryOpen(ClientStreamImpl& stream, const google::protobuf::MessageLite* request) {
  if (absl::Status status = CheckNotForked(fork_guard_, servers_); !status.ok()) return status;
  if (absl::Status status = CheckMayBlock(reactor_.get(), servers_); !status.ok()) return status;
  if (absl::Status status = stream.Prepare(request); !status.ok()) return status;
  return stream.OpenFirst(request);
}

absl::Status ChannelImpl::OpenAnywhere(StreamAttempts& attempts, const std::stop_token& stop) {
  return OverASession(attempts.head().options(), attempts.head().deadline(), stop,
                      [&](const SessionPtr& session) { return attempts.Open(session); });
}

void ChannelImpl::StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            const CallOptions& options, internal::OnOutcome done) {
  const base::CancelDisabled uncancelled;
  if (WaitsInVain(options)) return StartCall(method, request, WithoutWaiting(options), std::move(done));
  std::shared_ptr<CallbackCall> call;
  try {
    call = std::make_shared<CallbackCall>(method, options, options_.max_message_size, std::move(done));
  } catch (const std::bad_alloc&) {
    Unmade outcome;
    std::move(done)(outcome);
    return;
  }
  if (Begins(call, &request)) return;
  // No thread of this channel: one that does nothing else.
  const auto run = [call] { call->EndUnbegun(); };
  base::Thread thread;
  if (thread.Start("nearcall-calls", base::Thread::StackFor(options_.callback_stack_size), run).ok()) {
    thread.Detach();
  } else {
    run();
  }
}

std::unique_ptr<internal::ClientCall> ChannelImpl::BeginCall(const internal::MethodInfo& method,
                                                             const google::protobuf::MessageLite* request,
                                                             const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  if (WaitsInVain(options)) return BeginCall(method, request, WithoutWaiting(options));
  std::shared_ptr<OpenCall> call;
  std::unique_ptr<internal::ClientCall> held;
  const auto hold = [&](const auto& made) {
    held = std::make_unique<HeldCall>(made);
    call = made;
  };
  base::UntilThereIsMemory([&] {
    if (internal::ClientStreams(method.kind) || internal::ServerStreams(method.kind)) {
      hold(std::make_shared<OpenStreamCall>(method, options, options_.max_message_size));
    } else {
      hold(std::make_shared<OpenCall>(method, options, options_.max_message_size));
    }
  });
  if (!Begins(call, request)) call->EndUnbegun();
  return held;
}

// False: it has not begun, and its failure says why.
bool ChannelImpl::Begins(const std::shared_ptr<AsyncCall>& call, const google::protobuf::MessageLite* request) {
  call->failure = CheckNotForked(fork_guard_, servers_);
  if (call->failure.ok()) call->failure = base::OrNoMemory([&] { return call->Prepare(request); });
  try {
    if (!fork_guard_.InChild() && async_.Start(call)) return true;
  } catch (const std::bad_alloc&) {
    call->EndUnsent(base::NoMemory());
  }
  if (call->failure.ok()) call->EndUnsent(absl::ResourceExhaustedError("no thread can be made for asynchronous calls"));
  return false;
}

std::optional<absl::StatusOr<ChannelImpl::SessionPtr>> ChannelImpl::Connect(base::SteadyNs deadline,
                                                                            std::function<void()> wake) {
  if (reactor_.get() != nullptr) return servers_.Poll(wake);
  return servers_.Get({.for_server = 0, .deadline = deadline});
}

}  // namespace nearcall::rpc
