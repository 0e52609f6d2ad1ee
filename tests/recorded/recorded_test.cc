// SPDX-License-Identifier: Apache-2.0

// Today's server, called with the bytes that a client of version 1.0 sent, answers with the bytes of then. Each file
// has an exchange: a line for each message of the handshake or frame of the transport, by who sent it, in hex.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "fixture.h"
#include "interop_service.h"
#include "nearcall/server.h"
#include "raw_peer.h"
#include "support/temporary_directory.h"

namespace nearcall {
namespace {

using integration::Must;

constexpr int kLongMs = 30'000;

struct Line {
  std::string sender;
  std::string bytes;
};

// Abseil's is called differently in each of its versions.
std::string BytesOf(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<Line> LinesOf(const std::string& name) {
  std::ifstream file(absl::StrCat(RECORDED_DIR, "/1.0/", name, ".hex"));
  std::vector<Line> lines;
  std::string sender;
  std::string hex;
  std::getline(file, sender);  // the comment
  while (file >> sender >> hex) lines.push_back({sender, BytesOf(hex)});
  if (lines.empty()) throw std::runtime_error(absl::StrCat("nothing is recorded of ", name));
  return lines;
}

// What a server sends, hello or frame, has its own number at the same place. That is its process id.
std::string WithoutServerId(std::string bytes) {
  return bytes.replace(32, sizeof(uint32_t), sizeof(uint32_t), '\0');
}

void AwaitInput(int fd) {
  pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
  if (::poll(&item, 1, kLongMs) != 1) throw std::runtime_error("the server says nothing");
}

// A client that says nothing of its own.
class RecordedClient {
 public:
  // Shakes hands.
  explicit RecordedClient(const std::string& path) : control_(integration::ConnectRaw(path)) {
    Say("client_hello");
    EXPECT_EQ(absl::BytesToHexString(WithoutServerId(ReceiveHello())),
              absl::BytesToHexString(LinesOf("server_hello").front().bytes));
    Say("acknowledgement");
  }

  void WriteFrame(const std::string& frame) {
    const auto size = static_cast<uint32_t>(frame.size());
    std::string bytes(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes += frame;
    ASSERT_EQ(::write(requests_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  std::string ReadFrame() {
    uint32_t size = 0;
    std::memcpy(&size, Read(sizeof(size)).data(), sizeof(size));
    return Read(size);
  }

 private:
  void Say(const std::string& name) {
    const std::string bytes = LinesOf(name).front().bytes;
    integration::Send(control_.get(), std::as_bytes(std::span(bytes)));
  }

  // Takes the two descriptors that come with it.
  std::string ReceiveHello() {
    AwaitInput(control_.get());
    std::string hello(512, '\0');
    iovec part{.iov_base = hello.data(), .iov_len = hello.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> ancillary;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.data();
    message.msg_controllen = ancillary.size();
    const ssize_t size = ::recvmsg(control_.get(), &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* const passed = CMSG_FIRSTHDR(&message);
    if (size < 0 || passed == nullptr || passed->cmsg_len != CMSG_LEN(2 * sizeof(int))) {
      throw std::runtime_error("the server passes no pipes");
    }
    std::array<int, 2> fds;
    std::memcpy(fds.data(), CMSG_DATA(passed), sizeof(fds));
    requests_ = Reopened(base::Fd(fds[0]));
    replies_ = Reopened(base::Fd(fds[1]));
    hello.resize(static_cast<size_t>(size));
    return hello;
  }

  static base::Fd Reopened(const base::Fd& passed) {
    return base::Fd(::open(absl::StrCat("/proc/self/fd/", passed.get()).c_str(), O_RDWR | O_CLOEXEC));
  }

  std::string Read(size_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      AwaitInput(replies_.get());
      std::string part(size - bytes.size(), '\0');
      const ssize_t got = ::read(replies_.get(), part.data(), part.size());
      if (got <= 0) throw std::runtime_error("the replies' pipe fails");
      bytes.append(part, 0, static_cast<size_t>(got));
    }
    return bytes;
  }

  base::Fd control_;
  base::Fd requests_;
  base::Fd replies_;
};

class Recorded : public ::testing::TestWithParam<const char*> {
 protected:
  testing::NameDirectory directory_;
};

TEST_P(Recorded, IsServed) {
  interop::InteropService service("");
  // What the recorded hello has. The client is the server's first, as it was then.
  const ServerOptions options = {
      .max_message_size = size_t{64} << 20, .max_queued_calls = 1024, .stream_window_bytes = size_t{64} << 10};
  const auto server = Must(ServerBuilder(options).Listen("pipe:recorded").Register(&service).Start());
  RecordedClient client(directory_ / "recorded");
  for (const Line& line : LinesOf(GetParam())) {
    if (line.sender == "client") {
      client.WriteFrame(line.bytes);
    } else {
      ASSERT_EQ(absl::BytesToHexString(WithoutServerId(client.ReadFrame())), absl::BytesToHexString(line.bytes));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Version_1_0, Recorded,
                         ::testing::Values("unary", "one_way", "client_stream", "server_stream",
                                           "bidirectional_stream"));

}  // namespace
}  // namespace nearcall
