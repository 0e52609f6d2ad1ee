// SPDX-License-Identifier: Apache-2.0
#include "transport/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "fake_transport.h"
#include "transport/transport_table.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status ErrorOf(absl::string_view text) {
  return ParseAddress(text, kRows).status();
}

TEST(AddressTest, TransportAndName) {
  const Address address = Parse("one:search");
  EXPECT_EQ(address.kind, Address::Kind::kName);
  EXPECT_EQ(address.transport, "one");
  EXPECT_EQ(address.name, "search");
  EXPECT_EQ(address.text, "one:search");
}

TEST(AddressTest, BareNameMeansAnyTransport) {
  const Address address = Parse("a-b_c.9");
  EXPECT_EQ(address.kind, Address::Kind::kName);
  EXPECT_EQ(address.transport, "");
  EXPECT_EQ(address.name, "a-b_c.9");
}

TEST(AddressTest, PathWithAndWithoutTransport) {
  EXPECT_EQ(Parse("four:/run/app/echo").kind, Address::Kind::kPath);
  EXPECT_EQ(Parse("four:/run/app/echo").transport, "four");
  EXPECT_EQ(Parse("/run/a:b/echo").name, "/run/a:b/echo");
  EXPECT_EQ(Parse("/run/a:b/echo").transport, "");
}

TEST(AddressTest, InheritedDescriptor) {
  EXPECT_EQ(Parse("fd:3").kind, Address::Kind::kFd);
  EXPECT_EQ(Parse("fd:3").fd, 3);
}

TEST(AddressTest, ActivatedSocket) {
  EXPECT_EQ(Parse("systemd:").kind, Address::Kind::kActivated);
  EXPECT_EQ(Parse("systemd:").name, "");
  EXPECT_EQ(Parse("systemd:echo@1.socket").name, "echo@1.socket");
  EXPECT_TRUE(ErrorOf("systemd:" + std::string(255, 'n')).ok());
}

TEST(AddressTest, AProgramToStart) {
  EXPECT_EQ(Parse("exec:/usr/lib/a program").kind, Address::Kind::kExec);
  EXPECT_EQ(Parse("exec:/usr/lib/a program").name, "/usr/lib/a program");
  EXPECT_EQ(Parse("exec:/" + std::string(4094, 'p')).transport, "");
  EXPECT_EQ(Parse("inherited:").kind, Address::Kind::kInherited);
}

TEST(AddressTest, LongestNameAndPathAreTaken) {
  EXPECT_TRUE(ErrorOf(std::string(64, 'n')).ok());
  EXPECT_TRUE(ErrorOf("/" + std::string(41, 'd') + "/" + std::string(64, 'n')).ok());
}

TEST(AddressTest, RefusesWhatIsMalformedAndSaysWhy) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "the name is empty"},
      {"one:", "the name is empty"},
      {":search", "there is no transport \"\""},
      {"smh:search", "there is no transport \"smh\", there are: one, four, none"},
      {std::string(65, 'n'), "longer than 64 bytes"},
      {"systemd:a b", "without spaces and ':'"},
      {"systemd:a:b", "without spaces and ':'"},
      {"systemd:" + std::string(256, 'n'), "up to 255"},
      {"one:a/b", "a path must be absolute"},
      {"one:..", "begin with '.'"},
      {"one:a..b", "\"..\""},
      {"one:.hidden", "begin with '.'"},
      {"one:a b", "letters, digits"},
      {"one:a:b", "letters, digits"},
      {std::string("a\0b", 3), "letters, digits"},
      {"one:\xff", "\\xff"},
      {"/run/" + std::string(103, 'n'), "longer than 107 bytes"},
      {"/" + std::string(65, 'n'), "the path's last part: the name is longer"},
      {"/run/app/", "the path's last part: the name is empty"},
      {"/run/app/..", "the path's last part"},
      {std::string("/run\0/echo", 10), "zero byte"},
      {"exec:", "absolute path of a program"},
      {"exec:server", "absolute path of a program"},
      {"exec:/" + std::string(4095, 'p'), "longer than 4095 bytes"},
      {std::string("exec:/a\0b", 9), "zero byte"},
      {"inherited:3", "nothing stands after"},
      {"fd:", "number of a descriptor"},
      {"fd:-1", "number of a descriptor"},
      {"fd: 3", "number of a descriptor"},
      {"fd:3x", "number of a descriptor"},
      {"fd:99999999999", "number of a descriptor"},
  };
  for (const auto& [text, why] : cases) {
    const absl::Status error = ErrorOf(text);
    EXPECT_TRUE(absl::IsInvalidArgument(error)) << text;
    EXPECT_THAT(error.message(), HasSubstr(why)) << text;
    EXPECT_THAT(error.message(), HasSubstr("write transport:name, name,")) << text;
  }
}

// Whoever adds a row says here on purpose which kind it is of.
TEST(AddressTest, ABareNameMeansWhatPromisesAll) {
  std::vector<absl::string_view> meant;
  for (const TransportRow& row : Transports()) {
    if (row.IsMeantBy("")) meant.push_back(row.name);
    EXPECT_TRUE(row.IsMeantBy(row.name));
  }
  EXPECT_THAT(meant, ElementsAre("shm", "mq", "pipe"));
}

}  // namespace
}  // namespace nearcall::transport::testing
