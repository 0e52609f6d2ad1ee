// SPDX-License-Identifier: Apache-2.0
#include "torture/every_nth.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "child.h"
#include "measured.h"
#include "support/leak_check.h"
#include "torture/scenario.h"
#include "transport_under_test.h"

namespace nearcall::integration {

namespace {

constexpr unsigned kLongestSeconds = 40;

constexpr char kWentOn[] = "went on";
constexpr char kTold[] = "told";

// In the child: whether it has struck and how the scenario has gone, or what is wrong.
std::string Attempt(Fault& fault, size_t n) {
  ::alarm(kLongestSeconds);
  PrepareScenario();
  fault.Prepare();
  const testing::Resources before = testing::Resources::Now();
  fault.Arm(n);
  const ScenarioEnd end = RunScenario();
  const bool struck = fault.Disarm();
  if (!end.wrong.empty()) return end.wrong;
  if (const ScenarioEnd again = RunScenario(); !again.succeeded) {
    return absl::StrCat("afterwards not all is well: ", again.wrong);
  }
  if (const std::string leaked = testing::Resources::LeakedSince(before); !leaked.empty()) {
    return absl::StrCat("left behind: ", leaked);
  }
  if (!struck) return "missed";
  return end.succeeded ? kWentOn : kTold;
}

std::string AttemptInChild(Fault& fault, size_t n) {
  Child child([&](Link& parent) { parent.Tell(Attempt(fault, n)); });
  std::string answer = child.link().Await();
  const int code = child.Join();
  return code < 0 ? absl::StrCat("killed by signal ", -code, " ", answer) : answer;
}

}  // namespace

void FailEveryNth(Fault& fault) {
  const size_t stride = TortureCount("NEARCALL_TORTURE_STRIDE", 20);
  std::map<std::string, size_t> ends;
  size_t n = 1;
  for (std::string end; (end = AttemptInChild(fault, n)) != "missed"; n += stride) {
    ++ends[end];
    EXPECT_TRUE(end == kWentOn || end == kTold) << "number " << n << ", " << fault.Describe() << ": " << end;
  }
  absl::PrintF(
      "[ measured ] over %s, of about %d %s each failed once: %d times the scenario went on, %d times a status told\n",
      TransportName(), n - 1, fault.what(), ends[kWentOn], ends[kTold]);
}

}  // namespace nearcall::integration
