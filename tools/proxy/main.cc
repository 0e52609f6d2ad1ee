// SPDX-License-Identifier: Apache-2.0

// nearcall-proxy: services of this machine for the network, and the reverse.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "proxy.h"
#include "settings.h"

namespace nearcall::proxy {
namespace {

constexpr char kAbout[] = R"(Serves what servers of this machine have to gRPC's clients, and the reverse.

  nearcall-proxy grpc:localhost:50051 shm:search     calls at the port go to the server `search`
  nearcall-proxy shm:db grpc:db.example.net:50051    calls of the name `db` go to that host
  nearcall-proxy --config /etc/nearcall/proxy.conf   both, as often as it says, and with certificates

Pairs of LISTEN and TO: what it listens at, and where the calls go. Other hosts than this one need certificates, which
a file gives, or --plaintext. A signal (SIGTERM, SIGINT) lets the calls that are under way finish; a second one does
not.)";

constexpr char kEnds[] = R"(Ends with: 0 after a signal; 1 it cannot listen there, or cannot read a file; 2 the command
line or the configuration is wrong. See nearcall-proxy(1).)";

enum Code { kSuccess = 0, kFailure = 1, kUsage = 2 };

struct CommandLine {
  std::string config_path;
  std::vector<std::string> pairs;
  bool plaintext = false;
  bool check = false;
  double grace_s = 5;
};

int Fail(Code code, const absl::Status& status) {
  std::fprintf(stderr, "nearcall-proxy: %s\n", std::string(status.message()).c_str());
  return code;
}

absl::StatusOr<Config> ConfigOf(const CommandLine& line) {
  Config config;
  if (!line.config_path.empty()) {
    absl::StatusOr<Config> read = ReadConfig(line.config_path);
    if (!read.ok()) return read.status();
    config = *std::move(read);
  }
  if (line.pairs.size() % 2 != 0) return absl::InvalidArgumentError("what stands behind the flags is to be LISTEN TO");
  for (size_t i = 0; i < line.pairs.size(); i += 2) {
    if (absl::Status added = AddPair(line.pairs[i], line.pairs[i + 1], line.plaintext, config); !added.ok()) {
      return added;
    }
  }
  if (absl::Status checked = Check(config); !checked.ok()) return checked;
  return config;
}

// Each client of the network is a descriptor.
void RaiseLimitOfDescriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int Serve(const CommandLine& line, const Config& config) {
  // No thread is to get them but this one.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  RaiseLimitOfDescriptors();
  Proxy proxy;
  if (absl::Status started = proxy.Start(config); !started.ok()) return Fail(kFailure, started);
  for (const std::string& text : proxy.lines()) std::printf("%s\n", text.c_str());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  // A second one ends the process.
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  proxy.Drain(absl::Seconds(line.grace_s));
  return kSuccess;
}

int Run(int argc, char** argv) {
  CLI::App app(kAbout);
  CommandLine line;
  app.footer(kEnds);
  app.set_version_flag("--version", "nearcall-proxy " NEARCALL_VERSION);
  app.add_option("-c,--config", line.config_path, "What to pass on, a file in protobuf's text format")
      ->type_name("FILE");
  app.add_flag("--check", line.check, "Only say whether the command line and the configuration are right");
  app.add_flag("--plaintext", line.plaintext, "The pairs need no certificates, whatever their hosts");
  app.add_option("--grace", line.grace_s, "How many seconds calls have to finish after a signal")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("pairs", line.pairs, "What to listen at, and where the calls go")->type_name("LISTEN TO");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  const absl::StatusOr<Config> config = ConfigOf(line);
  if (!config.ok()) return Fail(absl::IsNotFound(config.status()) ? kFailure : kUsage, config.status());
  return line.check ? kSuccess : Serve(line, *config);
}

}  // namespace
}  // namespace nearcall::proxy

int main(int argc, char** argv) {
  // What it has to say we say; gRPC would add its own lines.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return nearcall::proxy::Run(argc, argv);
}
