// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/servers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/waiter.h"
#include "transport/rendezvous/shared_name.h"

namespace nearcall::rpc {

namespace {

// False: stopped before.
bool SleepUntil(base::SteadyNs until, const std::stop_token& stop) {
  base::Waiter waiter;
  const std::stop_callback on_stop(stop, [&waiter] { waiter.Finish(); });
  while (!waiter.finished() && base::NowNs() < until) waiter.Wait(until);
  return !waiter.finished();
}

}  // namespace

Servers::Servers(transport::Address address, const ChannelOptions& options, base::Reactor* reactor,
                 std::shared_ptr<base::Logger> logger)
    : options_(options),
      reactor_(reactor),
      logger_(std::move(logger)),
      by_name_(std::make_shared<Connector>(std::move(address), options_, reactor_, logger_, news_)) {}

Servers::Servers(SessionPtr session, absl::Status after, const ChannelOptions& options, base::Reactor* reactor,
                 std::shared_ptr<base::Logger> logger)
    : options_(options),
      reactor_(reactor),
      logger_(std::move(logger)),
      by_name_(std::make_shared<Connector>(std::move(session), std::move(after), options_, reactor_, logger_, news_)) {}

void Servers::set_services(ChannelServices* services) {
  services_ = services;
  by_name_->set_services(services);
}

Servers::~Servers() {
  stopping_ = true;
  if (fork_guard_.InChild()) {
    // The parent's, and so is the lock.
    static_cast<void>(new auto(std::move(dialer_)));
    return;
  }
  base::Thread dialer;
  {
    base::MutexLock lock(mutex_);
    dialer = std::move(dialer_);
  }
  if (dialer.joinable()) dialer.Join();
}

Servers::SessionPtr Servers::present() {
  if (!shared()) return by_name_->present();
  LookAroundNowAndThen();
  return members_.Best();
}

absl::StatusOr<Servers::SessionPtr> Servers::Get(const Patience& patience) {
  if (SessionPtr session = present()) return session;
  base::Backoff backoff(base::kReconnectMinNs, base::kReconnectMaxNs);
  for (;;) {
    absl::StatusOr<SessionPtr> session = TryOnce(patience.deadline);
    const base::SteadyNs now = base::NowNs();
    // Nobody is there, or nobody has answered in time: the one may come, and the other may just have too much to do.
    const bool late = absl::IsDeadlineExceeded(session.status());
    if (session.ok() || !connects() || !(late || absl::IsUnavailable(session.status()))) return session;
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

absl::StatusOr<Servers::SessionPtr> Servers::TryOnce(base::SteadyNs deadline) {
  absl::StatusOr<SessionPtr> alone;
  if (!shared()) {
    alone = by_name_->Get(deadline);
    if (!connects() || !absl::IsUnavailable(alone.status())) return alone;
  }
  if (absl::Status looked = LookAround(); !looked.ok()) return looked;
  if (shared()) return TryMembers(deadline);
  // The last of them has gone; who has the name now?
  return absl::IsUnavailable(alone.status()) ? alone : by_name_->Get(deadline);
}

// One after the other until one answers.
absl::StatusOr<Servers::SessionPtr> Servers::TryMembers(base::SteadyNs deadline) {
  absl::StatusOr<SessionPtr> session = absl::UnavailableError("all servers behind the name have gone");
  const std::vector<Member> some = members_.Shuffled();
  for (size_t i = 0; i < some.size(); ++i) {
    const bool is_last = i + 1 == some.size();
    const base::SteadyNs until = is_last ? deadline : base::AddNs(base::NowNs(), base::kNextServerNs);
    session = some[i]->Get(std::min(deadline, until));
    if (session.ok()) break;
  }
  return session;
}

std::optional<absl::StatusOr<Servers::SessionPtr>> Servers::Poll(const std::function<void()>& wake) {
  if (SessionPtr session = present()) return session;
  std::optional<absl::StatusOr<SessionPtr>> outcome;
  if (!shared()) {
    outcome = by_name_->Poll(wake);
    if (!outcome || !connects() || !absl::IsUnavailable(outcome->status())) return outcome;
  }
  if (absl::Status looked = LookAround(); !looked.ok()) return looked;
  bool waits = false;
  for (const Member& member : members_.All()) {
    auto answer = member->Poll(wake);
    if (answer && answer->ok()) return answer;
    waits = waits || !answer;
    if (answer) outcome = std::move(answer);
  }
  if (waits) return std::nullopt;
  return outcome ? std::move(outcome) : by_name_->Poll(wake);
}

// Who shares the name now.
absl::Status Servers::LookAround() {
  look_at_ = base::AddNs(base::NowNs(), base::kLookAroundNs);
  auto found = transport::ServersBehind(address());
  if (!found.ok()) return found.status();
  const bool any = members_.Update(*std::move(found), [this](const transport::Address& server) {
    auto member = std::make_shared<Connector>(server, options_, reactor_, logger_, news_);
    member->set_services(services_);
    return member;
  });
  shared_.store(any, std::memory_order_release);
  return absl::OkStatus();
}

void Servers::LookAroundNowAndThen() {
  base::SteadyNs look_at = look_at_.load(std::memory_order_relaxed);
  const base::SteadyNs now = base::NowNs();
  // One does it.
  if (now < look_at || !look_at_.compare_exchange_strong(look_at, base::AddNs(now, base::kLookAroundNs))) return;
  base::OrNoMemory([&] {
    absl::Status looked = LookAround();
    if (!members_.Unconnected().empty()) Dial();
    return looked;
  }).IgnoreError();
}

// In the background: no call waits for who has just come, as long as there is another.
void Servers::Dial() {
  if (reactor_ != nullptr) {
    for (const Member& member : members_.Unconnected()) member->Poll([] {});
    return;
  }
  base::MutexLock lock(mutex_);
  if (dialing_ || stopping_) return;
  if (dialer_.joinable()) dialer_.Join();
  dialing_ = dialer_.Start("nearcall-dial", base::kOwnStack, [this] { DialUnconnected(); }).ok();
}

void Servers::DialUnconnected() {
  const absl::Status dialed = base::OrNoMemory([&] {
    for (const Member& member : members_.Unconnected()) {
      if (stopping_) break;
      member->Get(base::AddNs(base::NowNs(), base::kNextServerNs)).status().IgnoreError();
    }
    return absl::OkStatus();
  });
  dialed.IgnoreError();
  base::MutexLock lock(mutex_);
  dialing_ = false;
}

std::string Servers::transport() const {
  for (const Member& member : members_.All()) {
    if (member->present() != nullptr) return member->transport();
  }
  return by_name_->transport();
}

std::string Servers::DebugString() const {
  const std::vector<Member> all = members_.All();
  if (all.empty()) return by_name_->DebugString();
  return absl::StrJoin(all, "; ",
                       [](std::string* out, const Member& member) { absl::StrAppend(out, member->DebugString()); });
}

// Ready if any is; else what comes next to that.
ChannelState Servers::state() const {
  const std::vector<Member> all = members_.All();
  if (all.empty()) return by_name_->state();
  const auto any = [&](ChannelState wanted) {
    return std::any_of(all.begin(), all.end(), [&](const Member& member) { return member->state() == wanted; });
  };
  for (const ChannelState state : {ChannelState::kReady, ChannelState::kConnecting, ChannelState::kIdle}) {
    if (any(state)) return state;
  }
  return ChannelState::kTransientFailure;
}

bool Servers::WaitForChange(ChannelState last, base::SteadyNs deadline) const {
  for (;;) {
    const uint64_t seen = news_->count();
    if (state() != last) return true;
    // Nobody tells of the end of a session that somebody else has made.
    const base::SteadyNs look = connects() ? base::kNever : base::AfterNow(absl::Milliseconds(10));
    if (!news_->WaitBeyond(seen, std::min(deadline, look)) && base::NowNs() >= deadline) return state() != last;
  }
}

}  // namespace nearcall::rpc
