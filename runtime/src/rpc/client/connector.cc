// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/connector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/no_memory.h"
#include "base/status.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

namespace {

session::KeepaliveTimes TimesOf(const KeepaliveOptions& options) {
  if (options.interval == absl::InfiniteDuration()) return {};
  return {.interval_ns = absl::ToInt64Nanoseconds(options.interval),
          .timeout_ns = absl::ToInt64Nanoseconds(options.timeout),
          .without_calls = options.without_calls};
}

}  // namespace

Connector::Connector(transport::Address address, const ChannelOptions& options, base::Reactor* reactor,
                     std::shared_ptr<base::Logger> logger, std::shared_ptr<StateNews> news)
    : address_(std::move(address)),
      options_(options),
      reactor_(reactor),
      logger_(std::move(logger)),
      news_(std::move(news)),
      children_(address_.kind == transport::Address::Kind::kExec
                    ? std::make_unique<Children>(address_.name, options_.exec, reactor_)
                    : nullptr) {}

Connector::Connector(SessionPtr session, absl::Status after, const ChannelOptions& options, base::Reactor* reactor,
                     std::shared_ptr<base::Logger> logger, std::shared_ptr<StateNews> news)
    : address_({.text = std::string(session::ServerName::kClient)}),
      after_(std::move(after)),
      options_(options),
      reactor_(reactor),
      logger_(std::move(logger)),
      news_(std::move(news)),
      session_(std::move(session)),
      transport_name_(session_ == nullptr ? "" : session_->end().server().transport),
      attempts_(1) {}

// Children are waited for last, when they have been hung up on.
Connector::~Connector() {
  std::shared_ptr<QueuedDial> dial;
  std::unique_ptr<transport::Dial> unfinished;
  SessionPtr session;
  base::Fd unused;
  {
    base::MutexLock lock(mutex_);
    dial = std::move(dial_);
    unfinished = std::move(unfinished_);
    session = std::move(session_);
    // An inherited socket is the first attempt's, which there has not been.
    if (attempts_ == 0 && !connecting_) unused.Reset(address_.fd);
  }
  if (dial != nullptr) dial->Stop();
  if (fork_guard_.InChild()) {
    static_cast<void>(unfinished.release());  // the parent's
  } else if (children_ != nullptr && session != nullptr) {
    session->end().HangUp();  // somebody may still hold it for a moment
  }
}

Connector::SessionPtr Connector::present() const {
  base::MutexLock lock(mutex_);
  return session_ != nullptr && session_->usable() ? session_ : nullptr;
}

std::string Connector::transport() const {
  base::MutexLock lock(mutex_);
  return transport_name_;
}

std::string Connector::DebugString() const {
  SessionPtr session;
  {
    base::MutexLock lock(mutex_);
    session = session_;
  }
  return absl::StrCat(session == nullptr ? absl::StrCat("no connection to ", address_.text) : session->DebugString(),
                      children_ == nullptr ? "" : children_->DebugString());
}

ChannelState Connector::state() const {
  base::MutexLock lock(mutex_);
  if (connecting_) return ChannelState::kConnecting;
  if (!connects() && !HasUsable()) return ChannelState::kShutdown;
  if (session_ != nullptr) return session_->usable() ? ChannelState::kReady : ChannelState::kIdle;
  return last_failure_.ok() ? ChannelState::kIdle : ChannelState::kTransientFailure;
}

// One attempt, shared by all callers that come while it runs. One that the event queue makes is taken over, for that
// may wait for this thread.
absl::StatusOr<Connector::SessionPtr> Connector::Get(base::SteadyNs deadline) {
  if (SessionPtr session = present()) return session;
  std::shared_ptr<QueuedDial> dial;
  {
    base::MutexLock lock(mutex_);
    while (connecting_ && dial_ == nullptr) {
      const uint64_t attempt = attempts_;
      while (attempts_ == attempt && base::NowNs() < deadline) attempt_ended_.WaitUntil(mutex_, deadline);
      if (attempts_ == attempt) {
        return absl::DeadlineExceededError(absl::StrCat("no connection to ", address_.text, " within the deadline"));
      }
      if (HasUsable()) break;
      // It was no failure: the connection came and has ended already. Or it was one of another caller's deadline, which
      // says nothing about this one's.
      if (!last_failure_.ok() && !absl::IsDeadlineExceeded(last_failure_)) return base::UnsharedCopy(last_failure_);
    }
    if (HasUsable()) return session_;
    dial = std::move(dial_);
    if (dial == nullptr) {
      if (absl::Status may = CheckMayConnect(); !may.ok()) return may;
    }
    connecting_ = true;
  }
  news_->Tell();
  absl::StatusOr<SessionPtr> fresh =
      base::OrNoMemory([&] { return dial == nullptr ? ConnectOnce(deadline) : Finish(*dial, deadline); });
  Conclude(fresh);
  return fresh;
}

// The attempt has the time of a handshake: whose call is over sooner does not wait for it.
std::optional<absl::StatusOr<Connector::SessionPtr>> Connector::Poll(std::function<void()> wake) {
  std::shared_ptr<QueuedDial> dial;
  std::optional<absl::StatusOr<transport::Connection>> outcome;
  bool began;
  {
    base::MutexLock lock(mutex_);
    if (HasUsable()) return session_;
    if (connecting_ && dial_ == nullptr) {
      wake_ = std::move(wake);
      return std::nullopt;
    }
    began = dial_ == nullptr;
    if (began) {
      if (absl::Status may = CheckMayConnect(); !may.ok()) return may;
      std::unique_ptr<transport::Dial> begun = TakeUnfinished();
      if (begun == nullptr) {
        begun = transport::Dial::Start(address_, Params(base::kNever), transport::Dial::Blocking::kNever);
      }
      dial_ = std::make_shared<QueuedDial>(*reactor_, std::move(begun), std::move(wake));
      dial_->Start(dial_);
      connecting_ = true;
    } else {
      outcome = dial_->Take();
      if (outcome) dial = std::move(dial_);
    }
  }
  if (began) news_->Tell();
  if (!outcome) return std::nullopt;
  absl::StatusOr<SessionPtr> fresh =
      outcome->ok() ? base::OrNoMemory([&] { return Open(**std::move(outcome)); }) : outcome->status();
  Conclude(fresh);
  return fresh;
}

bool Connector::HasUsable() const {
  return session_ != nullptr && session_->usable();
}

absl::Status Connector::CheckMayConnect() const {
  if (!connects()) return base::UnsharedCopy(after_);
  if (children_ != nullptr) {
    absl::Status may = unfinished_ == nullptr ? children_->CheckMayStart() : absl::OkStatus();
    return may.ok() ? may : absl::Status(may.code(), absl::StrCat(address_.text, ": ", may.message()));
  }
  // The number may be another descriptor's by now.
  if (address_.kind != transport::Address::Kind::kFd || attempts_ == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the server at ", address_.text,
                                             " has gone away, and an inherited socket cannot be connected again"));
}

void Connector::Conclude(const absl::StatusOr<SessionPtr>& fresh) {
  SessionPtr old;              // destroyed without the lock
  std::function<void()> wake;  // called without it
  {
    base::MutexLock lock(mutex_);
    connecting_ = false;
    ++attempts_;
    attempt_ended_.NotifyAll();
    old = std::exchange(session_, fresh.ok() ? *fresh : nullptr);
    if (fresh.ok()) transport_name_ = (*fresh)->end().server().transport;
    last_failure_ = base::UnsharedCopy(fresh.status());
    wake = std::exchange(wake_, nullptr);
  }
  news_->Tell();
  if (wake) wake();
}

absl::StatusOr<Connector::SessionPtr> Connector::Finish(QueuedDial& dial, base::SteadyNs deadline) {
  QueuedDial::Rest rest = dial.Stop();
  if (children_ != nullptr && !rest.outcome) return StartChild(std::move(rest.dial), deadline);
  absl::StatusOr<transport::Connection> connection =
      rest.outcome ? *std::move(rest.outcome) : rest.dial->Finish(deadline);
  if (!connection.ok()) return connection.status();
  return Open(*std::move(connection));
}

// A child has its own time to start, which is not that of a call.
absl::StatusOr<Connector::SessionPtr> Connector::StartChild(std::unique_ptr<transport::Dial> dial,
                                                            base::SteadyNs deadline) {
  std::optional<absl::StatusOr<transport::Connection>> connection = dial->FinishBefore(deadline);
  if (connection && connection->ok()) return Open(**std::move(connection));
  if (connection) return connection->status();
  base::MutexLock lock(mutex_);
  unfinished_ = std::move(dial);
  return absl::DeadlineExceededError(
      absl::StrCat("no connection to ", address_.text, " within the deadline: the program is still starting"));
}

// nullptr: there is none, or its time is up.
std::unique_ptr<transport::Dial> Connector::TakeUnfinished() {
  std::unique_ptr<transport::Dial> dial = std::move(unfinished_);
  return dial != nullptr && base::NowNs() < dial->when() ? std::move(dial) : nullptr;
}

absl::StatusOr<Connector::SessionPtr> Connector::ConnectOnce(base::SteadyNs deadline) {
  if (children_ != nullptr) {
    std::unique_ptr<transport::Dial> dial;
    {
      base::MutexLock lock(mutex_);
      dial = TakeUnfinished();
    }
    if (dial == nullptr) {
      dial = transport::Dial::Start(address_, Params(base::kNever), transport::Dial::Blocking::kMayWaitForBacklog);
    }
    return StartChild(std::move(dial), deadline);
  }
  absl::StatusOr<transport::Connection> connection = transport::Connect(address_, Params(deadline));
  if (!connection.ok()) return connection.status();
  return Open(*std::move(connection));
}

transport::ConnectParams Connector::Params(base::SteadyNs deadline) const {
  transport::ConnectParams params;
  params.allowed_uids = options_.allowed_uids;
  params.deadline = std::min(deadline, base::AfterNow(options_.handshake_timeout));
  params.terms = {.max_message_size = static_cast<uint32_t>(options_.max_message_size),
                  .max_calls_in_flight = services_ == nullptr ? 0 : uint32_t{base::kServedCallsGranted},
                  .stream_window = static_cast<uint32_t>(options_.stream_window_bytes),
                  .max_descriptors = uint8_t{base::kMaxMessageDescriptors},
                  .max_attachments = uint8_t{base::kMaxMessageAttachments},
                  .max_attachment_bytes = static_cast<uint32_t>(options_.max_attachment_bytes),
                  .takes_lent = uint8_t{options_.trust_sender}};
  params.features = transport::kDescriptors | (reactor_ == nullptr ? uint64_t{0} : uint64_t{transport::kSocketBell});
  if (children_ != nullptr) {
    params.start_at = children_->NextStart();
    params.start_server = [this] { return children_->Start(); };
    params.deadline =
        base::AddNs(std::max(params.start_at, base::NowNs()),
                    absl::ToInt64Nanoseconds(std::max(options_.handshake_timeout, options_.connect_timeout)));
  }
  return params;
}

absl::StatusOr<Connector::SessionPtr> Connector::Open(transport::Connection connection) const {
  session::KeepaliveTimes keepalive = TimesOf(options_.keepalive);
  // While there are no calls nobody reads, and so nobody would hear the answer.
  keepalive.without_calls = keepalive.without_calls && connection.in_band == nullptr;
  const session::ClientSessionOptions session_options = {
      .max_message_size = options_.max_message_size,
      .max_calls_in_flight = options_.max_calls_in_flight,
      .max_queued_bytes = options_.max_queued_bytes,
      .max_spin_ns = absl::ToInt64Nanoseconds(std::max(options_.max_spin, absl::ZeroDuration())),
      .stream_window = static_cast<uint32_t>(options_.stream_window_bytes),
      .max_attachment_bytes = options_.max_attachment_bytes,
      .trust_sender = options_.trust_sender,
      .keepalive = keepalive,
      .on_end = [news = news_] { news->Tell(); },
      .reactor = reactor_};
  absl::StatusOr<SessionPtr> session =
      session::ClientSession::Start(std::move(connection), session_options, logger_, address_.text);
  if (!session.ok() || services_ == nullptr) return session;
  if (absl::Status served = services_->Attach(*session); !served.ok()) return served;
  return session;
}

}  // namespace nearcall::rpc
