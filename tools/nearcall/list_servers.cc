// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "commands.h"
#include "nearcall/generic.h"
#include "printable.h"
#include "server_sockets.h"
#include "table.h"

namespace nearcall::tools {

namespace {

// How many are asked at once, and how long one may take: one that hangs does not hold up the others.
constexpr size_t kAtOnce = 16;
constexpr absl::Duration kPatience = absl::Seconds(1);

constexpr const char* kTransports[] = {"shm", "mq", "pipe", "sysv"};

struct Row {
  std::string address;
  std::string pid;
  std::string user;
  std::string transports;
  std::string state;
};

// What its health service says of the whole.
std::string HealthOf(const std::shared_ptr<Channel>& channel, absl::Time deadline) {
  const absl::StatusOr<Bytes> reply =
      GenericStub(channel).Unary("grpc.health.v1.Health/Check", Bytes(), {.deadline = deadline});
  if (!reply.ok()) {
    if (absl::IsUnimplemented(reply.status())) return "serving (has no health service)";
    if (absl::IsDeadlineExceeded(reply.status())) return "hangs";
    return Printable(reply.status().ToString(absl::StatusToStringMode::kWithNoExtraData));
  }
  if (reply->str() == "\x08\x01") return "serving";  // field 1, SERVING
  return reply->str() == "\x08\x02" ? "not serving" : "unknown";
}

std::string WhyNot(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return "hangs";
  return Printable(status.message());
}

Row Ask(const ServerSocket& socket, absl::Time end) {
  const SocketOwner owner = OwnerOf(socket.path);
  Row row = {.address = Printable(socket.address),
             .pid = owner.pid == 0 ? "-" : absl::StrCat(owner.pid),
             .user = owner.user.empty() ? "-" : owner.user,
             .transports = "-",
             .state = owner.why_not};
  if (!owner.why_not.empty()) return row;
  const absl::Time deadline = std::min(end, absl::Now() + kPatience);
  std::vector<std::string> transports;
  for (const char* transport : kTransports) {
    const auto channel = ConnectTo(absl::StrCat(transport, ":", socket.path), deadline);
    if (channel.ok()) {
      if (transports.empty()) row.state = HealthOf(*channel, deadline);
      transports.emplace_back(transport);
    } else if (transports.empty()) {
      row.state = WhyNot(channel.status());
      if (!absl::IsFailedPrecondition(channel.status())) break;
    }
  }
  if (!transports.empty()) row.transports = absl::StrJoin(transports, ",");
  return row;
}

std::vector<Row> AskAll(const std::vector<ServerSocket>& sockets, absl::Time end) {
  std::vector<Row> rows;
  for (size_t at = 0; at < sockets.size(); at += kAtOnce) {
    std::vector<std::future<Row>> asked;
    for (size_t i = at; i < std::min(at + kAtOnce, sockets.size()); ++i) {
      asked.push_back(std::async(std::launch::async, Ask, std::cref(sockets[i]), end));
    }
    for (std::future<Row>& row : asked) rows.push_back(row.get());
  }
  return rows;
}

void Print(const std::vector<Row>& rows) {
  Table table("", {{"ADDRESS"}, {"PID", true}, {"USER"}, {"TRANSPORTS"}, {"STATE"}});
  for (const Row& row : rows) table.Add({row.address, row.pid, row.user, row.transports, row.state});
  std::fputs(table.Text(Look::OfOutput()).c_str(), stdout);
}

}  // namespace

Outcome ListServers(const Settings& settings) {
  Print(AskAll(FindServerSockets(), settings.deadline));
  return {};
}

}  // namespace nearcall::tools
