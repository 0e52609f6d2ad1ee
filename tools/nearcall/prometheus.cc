// SPDX-License-Identifier: Apache-2.0
#include "prometheus.h"

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "printable.h"

namespace nearcall::tools {

namespace {

using stats::v1::Method;

// Bounds of the buckets: powers of two, with which the server's end, from a microsecond to two minutes.
constexpr int kLeastBits = 10;
constexpr int kMostBits = 37;

std::string Quoted(absl::string_view value) {
  return absl::StrCat("\"", absl::StrReplaceAll(Printable(value), {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

double Seconds(int64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

std::string LabelsOf(const Snapshot& snapshot) {
  return absl::StrCat("server=", Quoted(snapshot.address));
}

std::string LabelsOf(const Snapshot& snapshot, const Method& method) {
  const absl::string_view name = method.name();
  const size_t slash = name.find('/');
  const absl::string_view service = slash == absl::string_view::npos ? "" : name.substr(0, slash);
  return absl::StrCat(LabelsOf(snapshot), ",rpc_system=\"nearcall\",rpc_service=", Quoted(service),
                      ",rpc_method=", Quoted(slash == absl::string_view::npos ? name : name.substr(slash + 1)));
}

// All samples of one name must follow each other, whichever server they are of.
class Text {
 public:
  explicit Text(std::span<const Snapshot> snapshots) : snapshots_(snapshots) {}

  using OfServer = std::function<double(const Snapshot& snapshot)>;
  void AddServers(const char* name, const char* type, const char* help, const OfServer& value) {
    Begin(name, type, help);
    for (const Snapshot& snapshot : snapshots_) AddSample(name, LabelsOf(snapshot), value(snapshot));
  }

  using OfMethod = std::function<uint64_t(const Method& method)>;
  void AddMethods(const char* name, const char* help, const OfMethod& value) {
    Begin(name, "counter", help);
    ForEachMethod([&](const std::string& labels, const Method& method) {
      AddSample(name, labels, static_cast<double>(value(method)));
    });
  }

  void AddEnded(const char* name, const char* help) {
    Begin(name, "counter", help);
    ForEachMethod([&](const std::string& labels, const Method& method) {
      for (const stats::v1::Ended& ended : method.ended()) {
        const std::string code = absl::StatusCodeToString(static_cast<absl::StatusCode>(ended.code()));
        AddSample(name, absl::StrCat(labels, ",rpc_response_status_code=", Quoted(code)),
                  static_cast<double>(ended.count()));
      }
    });
  }

  void AddLatencies(const char* name, const char* help) {
    Begin(name, "histogram", help);
    ForEachMethod([&](const std::string& labels, const Method& method) { AddLatency(name, labels, method.latency()); });
  }

  // Of what is divided among users.
  using OfUser = std::function<const stats::v1::Taken&(const stats::v1::User& user)>;
  void AddUsers(const char* name, const char* help, const OfUser& value) {
    Begin(name, "gauge", help);
    for (const Snapshot& snapshot : snapshots_) {
      for (const stats::v1::User& user : snapshot.stats.users()) {
        AddSample(name, absl::StrCat(LabelsOf(snapshot), ",user=", Quoted(user.name())),
                  static_cast<double>(value(user).taken()));
      }
    }
  }

  const std::string& text() const { return text_; }

 private:
  void ForEachMethod(const std::function<void(const std::string& labels, const Method& method)>& visit) {
    for (const Snapshot& snapshot : snapshots_) {
      for (const Method& method : snapshot.stats.methods()) visit(LabelsOf(snapshot, method), method);
    }
  }

  void Begin(const char* name, const char* type, const char* help) {
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }

  void AddSample(absl::string_view name, absl::string_view labels, double value) {
    absl::StrAppendFormat(&text_, "%s{%s} %.15g\n", name, labels, value);
  }

  void AddLatency(const std::string& name, const std::string& labels, const stats::v1::Histogram& latency) {
    int at = 0;
    uint64_t below = 0;
    for (int bits = kLeastBits; bits <= kMostBits; ++bits) {
      const uint64_t bound = uint64_t{1} << bits;
      while (at < latency.buckets_size() && latency.buckets(at).below_ns() <= bound) {
        below += latency.buckets(at++).count();
      }
      AddSample(name + "_bucket", absl::StrFormat("%s,le=\"%.9g\"", labels, static_cast<double>(bound) / 1e9),
                static_cast<double>(below));
    }
    while (at < latency.buckets_size()) below += latency.buckets(at++).count();
    AddSample(name + "_bucket", labels + ",le=\"+Inf\"", static_cast<double>(below));
    AddSample(name + "_sum", labels, static_cast<double>(latency.sum_ns()) / 1e9);
    AddSample(name + "_count", labels, static_cast<double>(below));
  }

  const std::span<const Snapshot> snapshots_;
  std::string text_;
};

void AddServers(Text& text) {
  using stats::v1::Server;
  const auto of = [](auto get) {
    return [get](const Snapshot& snapshot) { return static_cast<double>((snapshot.stats.server().*get)()); };
  };
  text.AddServers("nearcall_server_start_time_seconds", "gauge", "When the server started, since the epoch.",
                  [](const Snapshot& of_one) { return Seconds(of_one.stats.server().start_time_unix_ns()); });
  text.AddServers("nearcall_server_cpu_seconds_total", "counter", "CPU time of the server's process.",
                  [](const Snapshot& of_one) {
                    return Seconds(of_one.stats.server().cpu_user_ns() + of_one.stats.server().cpu_system_ns());
                  });
  text.AddServers("nearcall_server_draining", "gauge", "1: Shutdown has begun.", of(&Server::draining));
  text.AddServers("nearcall_server_threads", "gauge", "Threads that serve.", of(&Server::threads));
  text.AddServers("nearcall_server_handlers", "gauge", "Handlers that run.", of(&Server::handlers_running));
  text.AddServers("nearcall_server_active_calls", "gauge", "Calls under way.", of(&Server::calls_active));
  text.AddServers("nearcall_server_connections", "gauge", "Clients that are connected.", of(&Server::connections));
  text.AddServers("nearcall_server_waiting_requests", "gauge", "Requests that wait for a handler.",
                  [](const Snapshot& of_one) {
                    const stats::v1::Lanes& waiting = of_one.stats.server().waiting();
                    return static_cast<double>(waiting.low() + waiting.normal() + waiting.high() + waiting.urgent());
                  });
  text.AddServers("nearcall_server_violations_total", "counter", "Violations of the protocol by clients.",
                  of(&Server::violations));
}

void AddMethods(Text& text) {
  const auto of = [](auto get) { return [get](const Method& method) { return (method.*get)(); }; };
  text.AddLatencies("rpc_server_call_duration_seconds", "From a request being read until its call was over.");
  text.AddMethods("nearcall_server_calls_begun_total", "Requests that were read.", of(&Method::begun));
  text.AddEnded("nearcall_server_calls_ended_total", "Calls that have ended, by their status.");
  text.AddMethods("nearcall_server_calls_refused_total", "Calls that ended without a handler.", of(&Method::refused));
  text.AddMethods("nearcall_server_received_bytes_total", "Requests and elements.", of(&Method::bytes_received));
  text.AddMethods("nearcall_server_sent_bytes_total", "Replies and elements.", of(&Method::bytes_sent));
  text.AddMethods("nearcall_server_received_elements_total", "Elements of streams.", of(&Method::elements_received));
  text.AddMethods("nearcall_server_sent_elements_total", "Elements of streams.", of(&Method::elements_sent));
}

void AddUsers(Text& text) {
  using stats::v1::User;
  text.AddUsers(
      "nearcall_server_user_calls", "Calls under way of each user.",
      [](const User& user) -> const auto& { return user.calls(); });
  text.AddUsers(
      "nearcall_server_user_bytes", "Bytes held for each user.",
      [](const User& user) -> const auto& { return user.bytes(); });
  text.AddUsers(
      "nearcall_server_user_handlers", "Handlers that run for each user.",
      [](const User& user) -> const auto& { return user.handlers(); });
  text.AddUsers(
      "nearcall_server_user_descriptors", "Descriptors of each user's connections.",
      [](const User& user) -> const auto& { return user.descriptors(); });
}

}  // namespace

std::string PrometheusText(std::span<const Snapshot> snapshots) {
  Text text(snapshots);
  AddServers(text);
  AddMethods(text);
  AddUsers(text);
  return text.text();
}

}  // namespace nearcall::tools
