// SPDX-License-Identifier: Apache-2.0
#include "crash/callers.h"

#include <algorithm>
#include <string>

#include "absl/time/clock.h"

namespace nearcall::integration {

namespace {

constexpr size_t kKinds = 4;
constexpr size_t kUnansweredKind = 0;
constexpr size_t kLargeSize = 100'000;

absl::Status CallOnce(const Echo::Stub& stub, size_t kind, const Blob& small, const Blob& large) {
  switch (kind) {
    case kUnansweredKind:
      return stub.MayBlock(small).status();
    case 1:
      return stub.Say(small).status();
    case 2:
      return stub.Say(large).status();
    default:
      return stub.Urgent(small).status();
  }
}

}  // namespace

Callers::Callers(const Echo::Stub& stub, size_t count) {
  for (size_t i = 0; i < count; ++i) callers_.push_back(std::make_unique<Caller>());
  for (size_t i = 0; i < count; ++i) callers_[i]->thread = std::thread([this, stub, i] { Run(stub, i); });
}

void Callers::Run(const Echo::Stub& stub, size_t index) {
  Caller& caller = *callers_[index];
  Blob small;
  small.set_data("small");
  Blob large;
  large.set_data(std::string(kLargeSize, 'x'));
  for (;;) {
    caller.begun = true;
    absl::Status status = CallOnce(stub, index % kKinds, small, large);
    if (!status.ok()) {
      caller.end = {.status = std::move(status), .at = base::NowNs()};
      return;
    }
    ++caller.answers;
  }
}

bool Callers::AllBusy() const {
  for (size_t i = 0; i < callers_.size(); ++i) {
    const Caller& caller = *callers_[i];
    if (i % kKinds == kUnansweredKind ? !caller.begun : caller.answers == 0) return false;
  }
  return true;
}

size_t Callers::Answers() const {
  size_t sum = 0;
  for (const auto& caller : callers_) sum += caller->answers;
  return sum;
}

bool Callers::WaitUntilBusy(size_t more) {
  const base::SteadyNs end = base::AfterNow(absl::Seconds(30));
  while (!AllBusy() && base::NowNs() < end) absl::SleepFor(absl::Microseconds(50));
  const size_t enough = Answers() + more;
  while (Answers() < enough && base::NowNs() < end) std::this_thread::yield();
  return AllBusy() && Answers() >= enough;
}

void Callers::Join() {
  for (const auto& caller : callers_) {
    if (caller->thread.joinable()) caller->thread.join();
  }
}

std::vector<Callers::End> Callers::Ends() const {
  std::vector<End> ends;
  for (const auto& caller : callers_) ends.push_back(caller->end);
  return ends;
}

}  // namespace nearcall::integration
