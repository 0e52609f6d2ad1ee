// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "nearcall/generic.h"
#include "stream_fixture.h"
#include "support/process.h"
#include "support/temporary_directory.h"

// The command line nearcall(1), as a process.
namespace nearcall::integration {

// What a command has printed, errors too, and what it ended with.
struct Ran {
  int code;
  std::string text;
};

MATCHER_P2(Ends, code, part, "") {
  *result_listener << "ended with " << arg.code << ": " << arg.text;
  return arg.code == code && absl::StrContains(arg.text, part);
}

// Says the same to whatever it is asked.
class FalseAnswers final : public CoGenericService {
 public:
  explicit FalseAnswers(std::string answer) : answer_(std::move(answer)) {}

  Task<absl::Status> Call(ServerContext&, CallKind, CoServerReaderWriter<Bytes, Bytes>& stream) override {
    co_await stream.Write(answer_);
    co_return absl::OkStatus();
  }

 private:
  const Bytes answer_;
};

class CliTest : public StreamTest {
 protected:
  Ran Nearcall(const std::string& arguments, const std::vector<std::string>& input = {}) {
    return Run(absl::StrCat("exec " NEARCALL_TOOL " ", arguments), input);
  }

  // A command of the shell.
  Ran Run(const std::string& command, const std::vector<std::string>& input = {}) {
    const std::string file = scratch_ / "output";
    testing::Process process("/bin/sh", {"-c", absl::StrCat(command, " >", file, " 2>&1")});
    for (const std::string& line : input) process.WriteLine(line);
    const int code = process.End();
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return {code, text.str()};
  }

  // A socket of that name, on which nobody answers; nobody listens any more if `dead`.
  // As `nearcall ls` names the server "echo", and who that is as far as the transport knows.
  static std::string ListedName() { return TransportUnderTest().MeetsAtSocket() ? "echo" : Address(); }
  static std::string PidText() { return TransportUnderTest().MeetsAtSocket() ? absl::StrCat(::getpid()) : "-"; }

  base::Fd MakeSocket(const std::string& name, bool dead) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (directory() + "/" + name).c_str());
    base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(socket.get(), 8), 0);
    if (dead) socket.Reset();
    return socket;
  }

  const testing::TemporaryDirectory scratch_;
};

}  // namespace nearcall::integration
