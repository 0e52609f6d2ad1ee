// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "driven_channel.h"
#include "driven_server.h"

namespace nearcall::integration {

void Must(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

bool Eventually(const std::function<bool()>& condition) {
  const base::SteadyNs end = base::AfterNow(kLong);
  while (!condition()) {
    if (base::NowNs() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

void Event::Set() {
  base::MutexLock lock(mutex_);
  set_ = true;
  changed_.NotifyAll();
}

bool Event::is_set() const {
  base::MutexLock lock(mutex_);
  return set_;
}

void Event::Wait() {
  const base::SteadyNs end = base::AfterNow(kLong);
  base::MutexLock lock(mutex_);
  while (!set_ && base::NowNs() < end) changed_.WaitUntil(mutex_, end);
  EXPECT_TRUE(set_) << "what the test waits for did not happen";
}

size_t Counter::Add() {
  base::MutexLock lock(mutex_);
  changed_.NotifyAll();
  return ++value_;
}

size_t Counter::value() const {
  base::MutexLock lock(mutex_);
  return value_;
}

void Counter::WaitFor(size_t number) {
  const base::SteadyNs end = base::AfterNow(kLong);
  base::MutexLock lock(mutex_);
  while (value_ < number && base::NowNs() < end) changed_.WaitUntil(mutex_, end);
  EXPECT_GE(value_, number) << "what the test waits for did not happen";
}

LogSink Log::sink() {
  return [this](LogSeverity, absl::string_view line) {
    base::MutexLock lock(mutex_);
    lines_.emplace_back(line);
  };
}

std::vector<std::string> Log::lines() const {
  base::MutexLock lock(mutex_);
  return lines_;
}

bool Log::Has(absl::string_view part) const {
  const std::vector<std::string> all = lines();
  return std::any_of(all.begin(), all.end(), [part](const std::string& line) { return absl::StrContains(line, part); });
}

size_t NumberIn(const std::string& text, absl::string_view name) {
  const size_t at = text.find(std::string(name));
  if (at == std::string::npos) throw std::runtime_error("no \"" + std::string(name) + "\" in: " + text);
  return std::stoul(text.substr(at + name.size()));
}

size_t CallsActive(const Server& server) {
  return NumberIn(server.DebugString(), "calls active: ");
}

size_t ConnectionCount(const Server& server) {
  const std::string text = server.DebugString();
  size_t count = 0;
  for (size_t at = text.find("poller: "); at != std::string::npos; at = text.find("poller: ", at + 1)) {
    count += NumberIn(text.substr(at), "poller: ");
  }
  return count;
}

bool IsAsleep(const Server& server) {
  const std::string text = server.DebugString();
  return absl::StrContains(text, "leader asleep") && !absl::StrContains(text, "leader working") &&
         !absl::StrContains(text, "leader in a handler");
}

IntegrationTest::~IntegrationTest() {
  // What killed processes have left is found by the directory, which goes now.
  if (TransportUnderTest().sweep != nullptr) TransportUnderTest().sweep();
  EndLeftLoops();
  if (HasFailure()) {
    for (const std::string& line : log.lines()) std::fprintf(stderr, "logged: %s\n", line.c_str());
  }
}

std::unique_ptr<Server> IntegrationTest::StartServer(ServerOptions options, absl::string_view address) {
  if (!options.log_sink) options.log_sink = log.sink();
  // Small queues: the server of a busy machine may not have taken back those of the last ten clients yet.
  options.expected_clients = std::max<size_t>(options.expected_clients, 48);
  return StartInStyle(std::move(options), [&](ServerOptions styled) {
    return Must(ServerBuilder(std::move(styled)).Listen(address).Register(&echo).Start());
  });
}

std::shared_ptr<Channel> IntegrationTest::Connect(ChannelOptions options, absl::string_view address) {
  if (!options.log_sink) options.log_sink = log.sink();
  return Must(ConnectInStyle(std::move(options),
                             [&](ChannelOptions styled) { return Channel::Connect(address, std::move(styled)); }));
}

Pending SayAsync(const Echo::Stub& stub, std::string data, CallOptions options) {
  return std::async(std::launch::async, [stub, data = std::move(data), options = std::move(options)] {
    return stub.Say(MakeBlob(data), options);
  });
}

}  // namespace nearcall::integration
