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
      link_({.transport = session == nullptr ? "" : session->end().server().transport, .session = std::move(session)}) {
  attempt_.ended = 1;
}

// Children are waited for last, when they have been hung up on.
Connector::~Connector() {
  std::shared_ptr<QueuedDial> dial;
  std::unique_ptr<transport::Dial> unfinished;
  SessionPtr session;
  base::Fd unused;
  {
    base::MutexLock lock(mutex_);
    dial = std::move(attempt_.dial);
    unfinished = std::move(attempt_.unfinished);
    session = std::move(link_.session);
    // An inherited socket is the first attempt's, which there has not been.
    if (attempt_.ended == 0 && !attempt_.runs) unused.Reset(address_.fd);
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
  return link_.usable() ? link_.session : nullptr;
}

std::string Connector::transport() const {
  base::MutexLock lock(mutex_);
  return link_.transport;
}

std::string Connector::DebugString() const {
  SessionPtr session;
  {
    base::MutexLock lock(mutex_);
    session = link_.session;
  }
  return absl::StrCat(session == nullptr ? absl::StrCat("no connection to ", address_.text) : session->DebugString(),
                      children_ == nullptr ? "" : children_->DebugString());
}

ChannelState Connector::state() const {
  base::MutexLock lock(mutex_);
  if (attempt_.runs) return ChannelState::kConnecting;
  if (!connects() && !link_.usable()) return ChannelState::kShutdown;
  if (link_.session != nullptr) return link_.usable() ? ChannelState::kReady : ChannelState::kIdle;
  return attempt_.failure.ok() ? ChannelState::kIdle : ChannelState::kTransientFailure;
}

// One attempt, shared by all callers that come while it runs. One that the event queue makes is taken over, for that
// may wait for this thread.
absl::StatusOr<Connector::SessionPtr> Connector::Get(base::SteadyNs deadline) {
  if (SessionPtr session = present()) return session;
  std::shared_ptr<QueuedDial> dial;
  {
    base::MutexLock lock(mutex_);
    while (attempt_.runs && attempt_.dial == nullptr) {
      const uint64_t attempt = attempt_.ended;
      while (attempt_.ended == attempt && base::NowNs() < deadline) attempt_ended_.WaitUntil(mutex_, deadline);
      if (attempt_.ended == attempt) {
        return absl::DeadlineExceededError(absl::StrCat("no connection to ", address_.text, " within the deadline"));
      }
      if (link_.usable()) break;
      // It was no failure: the connection came and has ended already. Or it was one of another caller's deadline, which
      // says nothing about this one's.
      if (!attempt_.failure.ok() && !absl::IsDeadlineExceeded(attempt_.failure))
        return base::UnsharedCopy(attempt_.failure);
    }
    if (link_.usable()) return link_.session;
    dial = std::move(attempt_.dial);
    if (dial == nullptr) {
      if (absl::Status may = CheckMayConnect(); !may.ok()) return may;
    }
    attempt_.runs = true;
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
    if (link_.usable()) return link_.session;
    if (attempt_.runs && attempt_.dial == nullptr) {
      attempt_.wake = std::move(wake);
      return std::nullopt;
    }
    began = attempt_.dial == nullptr;
    if (began) {
      if (absl::Status may = CheckMayConnect(); !may.ok()) return may;
      std::unique_ptr<transport::Dial> begun = TakeUnfinished();
      if (begun == nullptr) {
        begun = transport::Dial::Start(address_, Params(base::kNever), transport::Dial::Blocking::kNever);
      }
      attempt_.dial = std::make_shared<QueuedDial>(*reactor_, std::move(begun), std::move(wake));
      attempt_.dial->Start(attempt_.dial);
      attempt_.runs = true;
    } else {
      outcome = attempt_.dial->Take();
      if (outcome) dial = std::move(attempt_.dial);
    }
  }
  if (began) news_->Tell();
  if (!outcome) return std::nullopt;
  absl::StatusOr<SessionPtr> fresh =
      outcome->ok() ? base::OrNoMemory([&] { return Open(**std::move(outcome)); }) : outcome->status();
  Conclude(fresh);
  return fresh;
}

absl::Status Connector::CheckMayConnect() const {
  if (!connects()) return base::UnsharedCopy(after_);
  if (children_ != nullptr) {
    absl::Status may = attempt_.unfinished == nullptr ? children_->CheckMayStart() : absl::OkStatus();
    return may.ok() ? may : absl::Status(may.code(), absl::StrCat(address_.text, ": ", may.message()));
  }
  // The number may be another descriptor's by now.
  if (address_.kind != transport::Address::Kind::kFd || attempt_.ended == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the server at ", address_.text,
                                             " has gone away, and an inherited socket cannot be connected again"));
}

void Connector::Conclude(const absl::StatusOr<SessionPtr>& fresh) {
  SessionPtr old;              // destroyed without the lock
  std::function<void()> wake;  // called without it
  {
    base::MutexLock lock(mutex_);
    attempt_.runs = false;
    ++attempt_.ended;
    attempt_ended_.NotifyAll();
    old = std::exchange(link_.session, fresh.ok() ? *fresh : nullptr);
    if (fresh.ok()) link_.transport = (*fresh)->end().server().transport;
    attempt_.failure = base::UnsharedCopy(fresh.status());
    wake = std::exchange(attempt_.wake, nullptr);
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
  attempt_.unfinished = std::move(dial);
  return absl::DeadlineExceededError(
      absl::StrCat("no connection to ", address_.text, " within the deadline: the program is still starting"));
}

// nullptr: there is none, or its time is up.
std::unique_ptr<transport::Dial> Connector::TakeUnfinished() {
  std::unique_ptr<transport::Dial> dial = std::move(attempt_.unfinished);
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
