// SPDX-License-Identifier: Apache-2.0

// A program that was started with its standard input, output and error closed, or closed them itself, as daemons did.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "child.h"
#include "fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using StandardDescriptorsTest = IntegrationTest;

constexpr std::array kStandard = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};

void CloseStandard() {
  for (const int fd : kStandard) ::close(fd);
}

bool StandardAreClosed() {
  return std::all_of(kStandard.begin(), kStandard.end(), [](int fd) { return ::fcntl(fd, F_GETFD) == -1; });
}

// Else what it prints would go to its peer.
TEST_F(StandardDescriptorsTest, NoneOfThemIsEverOneOfOurs) {
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer opens descriptors of its own";
  Child program([this](Link& parent) {
    CloseStandard();
    const auto server = StartServer();
    for (const auto& channel : {Connect(), Connect()}) {
      const Echo::Stub stub(channel);
      Must(stub.Say(MakeBlob("over"), {.timeout = kLong}).status());
      Must(stub.Say(MakeBlob(std::string(200'000, 'x')), {.timeout = kLong}).status());
      Counter ends;
      Echo::AsyncStub(channel).Say(MakeBlob(""), [&](const absl::StatusOr<Blob>&) { ends.Add(); });
      ends.WaitFor(1);
    }
    parent.Tell(StandardAreClosed() ? "closed" : "taken");
  });
  EXPECT_EQ(program.link().Await(), "closed");
  EXPECT_EQ(program.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
