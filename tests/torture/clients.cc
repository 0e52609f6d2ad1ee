// SPDX-License-Identifier: Apache-2.0
#include "torture/clients.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "fixture.h"

namespace nearcall::integration {

namespace {

constexpr size_t kAsyncCalls = 6;
constexpr size_t kBlockingCalls = 100;
constexpr size_t kLargeSize = 100'000;

}  // namespace

Clients::Clients(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

void Clients::Finish() {
  finishing_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Clients::Run() {
  while (!finishing_) {
    auto channel = Channel::Connect(Address(), {.log_sink = [](LogSeverity, absl::string_view) {}});
    {
      base::MutexLock lock(mutex_);
      connects_.push_back(channel.status());
    }
    if (!channel.ok()) {
      absl::SleepFor(absl::Microseconds(50));
      continue;
    }
    std::vector<CallPtr> calls;
    CallUntilFailure(*channel, calls);
    *channel = nullptr;  // a callback that comes late comes now at the latest
    base::MutexLock lock(mutex_);
    for (const CallPtr& call : calls) calls_.push_back(*call);
  }
}

void Clients::CallUntilFailure(const std::shared_ptr<Channel>& channel, std::vector<CallPtr>& calls) {
  const Echo::AsyncStub async(channel);
  for (size_t i = 0; i < kAsyncCalls; ++i) calls.push_back(StartAsync(async, i));
  const Echo::Stub stub(channel);
  for (size_t i = 0; i < kBlockingCalls && !finishing_; ++i) {
    const auto call = calls.emplace_back(std::make_shared<Call>());
    call->begun = base::NowNs();
    const auto reply = stub.Say(MakeBlob(std::string(i % 16 == 15 ? kLargeSize : i, 'x')), {.timeout = kLong});
    End(*call, reply.status());
    if (!reply.ok()) break;
  }
  WaitForAll(calls);
}

Clients::CallPtr Clients::StartAsync(const Echo::AsyncStub& stub, size_t kind) {
  auto call = std::make_shared<Call>();
  call->begun = base::NowNs();
  const auto done = [this, call](const absl::StatusOr<Blob>& reply) { End(*call, reply.status()); };
  const CallOptions options = {.timeout = kLong};
  switch (kind % 3) {
    case 0:
      stub.MayBlock(MakeBlob("held"), done, options);
      break;
    case 1:
      stub.Say(MakeBlob(std::string(kLargeSize, 'x')), done, options);
      break;
    default:
      stub.Urgent(MakeBlob("urgent"), done, options);
  }
  return call;
}

void Clients::End(Call& call, absl::Status status) {
  base::MutexLock lock(mutex_);
  call.ended = base::NowNs();
  call.status = std::move(status);
  ++call.ends;
  changed_.NotifyAll();
}

bool Clients::WaitForAll(const std::vector<CallPtr>& calls) {
  const auto ended = [](const CallPtr& call) { return call->ends > 0; };
  const base::SteadyNs end = base::AfterNow(kLong);
  base::MutexLock lock(mutex_);
  while (!std::all_of(calls.begin(), calls.end(), ended) && base::NowNs() < end) changed_.WaitUntil(mutex_, end);
  return std::all_of(calls.begin(), calls.end(), ended);
}

}  // namespace nearcall::integration
