// SPDX-License-Identifier: Apache-2.0

// A flood of strangers at a server's door, beside a client that is served: what it notices of them is no more than what
// it would notice of the same flood at another server's door. NEARCALL_FLOOD_SECONDS says how long.
#include <sys/socket.h>
#include <sys/un.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "child.h"
#include "fixture.h"
#include "measured.h"
#include "support/process.h"
#include "support/sanitizers.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::integration {
namespace {

using testing::Process;

constexpr size_t kFlooders = 4;

enum class Says { kNothing, kHello };

// Connects and hangs up again until it is killed.
void FloodDoor(const std::string& path, Says says) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const std::vector<std::byte> hello = transport::Encode(transport::ClientHello{
      .transports = 1u << TransportUnderTest().bit, .terms = {.max_message_size = 1000, .max_calls_in_flight = 1}});
  for (;;) {
    const base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) continue;
    if (says == Says::kHello) transport::SendHello(fd, hello).IgnoreError();
  }
}

double MicrosecondsSince(base::SteadyNs begin) {
  return static_cast<double>(base::NowNs() - begin) / 1e3;
}

class DoorFloodTest : public IntegrationTest, public ::testing::WithParamInterface<Says> {
 protected:
  // Flooders that wait for their word. To be made before this process has threads.
  std::vector<std::unique_ptr<Child>> MakeFlooders(const std::string& name) {
    std::vector<std::unique_ptr<Child>> flooders;
    for (size_t i = 0; i < kFlooders; ++i) {
      flooders.push_back(std::make_unique<Child>([path = directory() + "/" + name](Link& parent) {
        if (!parent.Await().empty()) FloodDoor(path, GetParam());
      }));
    }
    return flooders;
  }

  static Measured Calls(const Echo::Stub& stub, const std::string& what) {
    Measured calls(what + ", a call");
    const base::SteadyNs end = base::AfterNow(absl::Seconds(TortureCount("NEARCALL_FLOOD_SECONDS", 1)));
    while (base::NowNs() < end) {
      const base::SteadyNs begin = base::NowNs();
      EXPECT_TRUE(stub.Say(MakeBlob("hello"), {.timeout = kLong}).ok());
      calls.Add(MicrosecondsSince(begin));
    }
    calls.Print("us");
    return calls;
  }

  // Who floods is of the same user, whose queues the kernel counts, those of half-open connections too. Who meets that
  // limit is told so, and comes again.
  static bool IsLimitOfQueues(const absl::Status& status) {
    return TransportName() == "mq" && absl::StrContains(status.message(), "RLIMIT_MSGQUEUE is ");
  }

  static Measured Connects(const std::string& what) {
    Measured connects(what + ", to connect");
    for (int i = 0; i < 20; ++i) {
      const base::SteadyNs begin = base::NowNs();
      absl::Status status;
      do {
        status = Channel::Connect(Address("near"), {.connect_timeout = kLong}).status();
      } while (IsLimitOfQueues(status) && base::NowNs() - begin < absl::ToInt64Nanoseconds(kLong));
      EXPECT_TRUE(status.ok()) << status;
      connects.Add(MicrosecondsSince(begin));
    }
    connects.Print("us");
    return connects;
  }
};

TEST_P(DoorFloodTest, WhoIsServedDoesNotNotice) {
  auto elsewhere = MakeFlooders("far");
  auto here = MakeFlooders("near");
  Process near(ECHO_PEER, {"server", Address("near"), "256"});
  Process far(ECHO_PEER, {"server", Address("far"), "256"});
  ASSERT_EQ(near.ReadLine(), "ready");
  ASSERT_EQ(far.ReadLine(), "ready");
  const Echo::Stub stub = ConnectStub({}, Address("near"));
  Calls(stub, "no flood");
  for (const auto& flooder : elsewhere) flooder->link().Tell();
  const Measured beside = Calls(stub, "a flood at another door");
  elsewhere.clear();
  for (const auto& flooder : here) flooder->link().Tell();
  const Measured during = Calls(stub, "the same flood at this door");
  Connects("during the flood");
  here.clear();
  EXPECT_LE(during.Percentile(0.5), (Strict() ? 2 : 20) * beside.Percentile(0.5) + (Strict() ? 0 : 1'000));
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_EQ(near.End(), 0);
  EXPECT_EQ(far.End(), 0);
}

INSTANTIATE_TEST_SUITE_P(Strangers, DoorFloodTest, ::testing::Values(Says::kNothing, Says::kHello),
                         [](const auto& flood) { return flood.param == Says::kNothing ? "Silent" : "SayHello"; });

}  // namespace
}  // namespace nearcall::integration
