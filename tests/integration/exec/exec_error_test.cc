// SPDX-License-Identifier: Apache-2.0

// Programs that cannot be started, or are no servers.
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "exec_fixture.h"
#include "support/no_more_descriptors.h"
#include "support/scoped_env.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ExecErrorTest : public ExecTest {
 protected:
  std::string File(const std::string& name, const std::string& text, mode_t mode) const {
    const std::string path = absl::StrCat(directory(), "/", name);
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static absl::Status Listen(absl::string_view address) {
    EchoService service;
    return ServerBuilder().Listen(address).Register(&service).Start().status();
  }
};

TEST_F(ExecErrorTest, NoSuchProgram) {
  EXPECT_THAT(TryStart("/no/such/program"),
              FailsWith(StatusCode::kNotFound, "exec:/no/such/program: cannot start /no/such/program: No such file"));
  EXPECT_THAT(TryStart(File("script", "#!/no/such/interpreter\n", 0700)),
              FailsWith(StatusCode::kNotFound, "no interpreter that its first line names"));
}

TEST_F(ExecErrorTest, NotExecutable) {
  EXPECT_THAT(TryStart(File("text", "", 0600)), FailsWith(StatusCode::kPermissionDenied, "chmod +x"));
  EXPECT_THAT(TryStart(directory()), FailsWith(StatusCode::kPermissionDenied, "must be a file"));
  EXPECT_THAT(TryStart(File("program", "no program", 0700)),
              FailsWith(StatusCode::kFailedPrecondition, "no program for this machine"));
}

TEST_F(ExecErrorTest, OptionsThatTheKernelWouldNotTake) {
  ChannelOptions options;
  options.exec.cwd = "/no/such/directory";
  EXPECT_THAT(TryStart("/bin/true", {}, options), FailsWith(StatusCode::kNotFound, "exec.cwd): No such file"));
  options = {};
  options.exec.env = {"NONSENSE"};
  EXPECT_THAT(TryStart("/bin/true", {}, options), FailsWith(StatusCode::kInvalidArgument, "\"NONSENSE\" is not NAME="));
  options = {};
  options.exec.max_pause = absl::InfiniteDuration();
  EXPECT_THAT(TryStart("/bin/true", {}, options), FailsWith(StatusCode::kInvalidArgument, "exec.max_pause is inf"));
  options = {};
  options.exec.max_restarts_per_minute = 60'001;
  EXPECT_THAT(TryStart("/bin/true", {}, options), FailsWith(StatusCode::kInvalidArgument, "allowed are 0 to 60000"));
  EXPECT_THAT(TryStart("/bin/true", {std::string("a\0b", 3)}), FailsWith(StatusCode::kInvalidArgument, "zero byte"));
}

TEST_F(ExecErrorTest, AProgramThatEndsBeforeItAnswers) {
  EXPECT_THAT(TryStart("/bin/sh", {"sh", "-c", "exit 3"}),
              FailsWith(StatusCode::kUnavailable, "exited with status 3 before it answered"));
  EXPECT_THAT(TryStart("/bin/sh", {"sh", "-c", "kill -9 $$"}),
              FailsWith(StatusCode::kUnavailable, "was killed by signal 9 (Killed) before it answered"));
}

TEST_F(ExecErrorTest, AProgramThatSaysNothingIsEnded) {
  EXPECT_THAT(TryStart("/bin/sleep", {"sleep", "1000"}, {.handshake_timeout = absl::Milliseconds(50)}),
              FailsWith(StatusCode::kDeadlineExceeded, "has not answered in time"));
}

TEST_F(ExecErrorTest, AServerThatIsStartedByAScript) {
  const std::string script = File("script", "#!/bin/sh\nexec " EXEC_SERVER " \"$@\"\n", 0700);
  EXPECT_EQ(Answer(Connect(With({"serve"}), absl::StrCat("exec:", script)), "hi"), "hi");
  const std::string without_exec = File("other", "#!/bin/sh\n" EXEC_SERVER " serve\n", 0700);
  EXPECT_THAT(TryStart(without_exec), FailsWith(StatusCode::kPermissionDenied, "a script starts the server with exec"));
}

// However few there are: an answer, and nothing is left behind.
TEST_F(ExecErrorTest, NoDescriptorIsLeft) {
  size_t started = 0;
  for (int room = 0; room < 24; ++room) {
    const absl::Status status = [&] {
      const testing::NoMoreDescriptors few(room);
      return TryStart("/bin/sh", {"sh", "-c", "ulimit -Sn 512; exec " EXEC_SERVER});
    }();
    EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << room << ": " << status;
    EXPECT_FALSE(HasChild()) << room;
    if (status.ok()) ++started;
  }
  EXPECT_GT(started, 0u);
}

TEST_F(ExecErrorTest, AddressesOfTheOtherSide) {
  EXPECT_THAT(Channel::Connect("exec:relative/path").status(),
              FailsWith(StatusCode::kInvalidArgument, "absolute path of a program"));
  EXPECT_THAT(Channel::Connect("inherited:").status(),
              FailsWith(StatusCode::kInvalidArgument, "only a server listens there"));
  EXPECT_THAT(Listen("exec:/bin/true"), FailsWith(StatusCode::kInvalidArgument, "a channel connects there"));
  EXPECT_THAT(Listen("inherited:3"), FailsWith(StatusCode::kInvalidArgument, "nothing stands after"));
}

TEST_F(ExecErrorTest, AServerThatNobodyHasStarted) {
  {
    const testing::ScopedEnv none("NEARCALL_FD", nullptr);
    EXPECT_THAT(Listen("inherited:"), FailsWith(StatusCode::kFailedPrecondition, "no client has started this process"));
  }
  for (const char* number : {"", "three", "-1", "0", "99999"}) {
    const testing::ScopedEnv wrong("NEARCALL_FD", number);
    EXPECT_THAT(Listen("inherited:"), FailsWith(StatusCode::kInvalidArgument, "$NEARCALL_FD is"));
  }
}

// Whose end is closed: nobody may take it again.
TEST_F(ExecErrorTest, TheSocketIsGivenOutOnce) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const base::Fd client(ends[0]);
  const testing::ScopedEnv number("NEARCALL_FD", std::to_string(ends[1]).c_str());
  EchoService service;
  auto server = ServerBuilder().Listen("inherited:").Register(&service).Start();
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Listen("inherited:"), FailsWith(StatusCode::kFailedPrecondition, "has been taken already"));
  ::shutdown(client.get(), SHUT_RDWR);
  (*server)->Wait();  // it is alone
}

}  // namespace
}  // namespace nearcall::integration
