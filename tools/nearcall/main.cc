// SPDX-License-Identifier: Apache-2.0

// nearcall: see servers of this machine, and call them.
#include <google/protobuf/message.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "commands.h"
#include "flags.h"

namespace nearcall::tools {
namespace {

constexpr char kAbout[] = R"(Sees the servers of Nearcall on this machine, and calls them.

  nearcall ls                               every server that this user can reach
  nearcall ls echo                          its services;  nearcall ls echo demo.Echo: the methods of one
  nearcall describe echo demo.Request       a type, method or service, as the text of a .proto file
  nearcall call echo demo.Echo/Say -d '{"text": "hello"}'
  nearcall call echo demo.Echo/Chat -d @-   one message in JSON a line, in both directions
  nearcall ping echo                        how long a call takes
  nearcall stat                             what all servers do just now;  nearcall stat echo: what one does
  nearcall trace echo                       its calls, each when it is over
  nearcall bench echo demo.Echo/Say -c 8    how fast its calls are

An ADDRESS is a name, or a transport and a name (shm:echo), or a path (shm:/run/app/echo). What a server looks like
it is asked itself (reflection), or files say (--proto, --protoset).)";

constexpr char kEnds[] =
    R"(Ends with: 0 well; 2 the command line is wrong; 3 no server there, or it does not let us in; 4 no such service,
method or type; 5 what was to be sent is not what the method takes; 64 + N the call has ended with the status code N
(gRPC's: 65 CANCELLED, 68 DEADLINE_EXCEEDED, 69 NOT_FOUND, 71 PERMISSION_DENIED, 76 UNIMPLEMENTED, 78 UNAVAILABLE).)";

class CommandLine {
 public:
  CommandLine() {
    app_.footer(kEnds);
    app_.set_version_flag("--version", "nearcall " NEARCALL_VERSION);
    app_.require_subcommand(1);
    AddLs();
    AddDescribe();
    AddCall();
    AddPing();
    AddStat();
    AddTrace();
    AddBench();
  }

  // What it ends with.
  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      // CLI11 numbers its errors itself.
      return app_.exit(error) == 0 ? kSuccess : kUsage;
    }
    settings_.deadline = absl::Now() + settings_.timeout;
    const Outcome outcome = command_(settings_);
    std::fflush(stdout);
    if (!outcome.error.empty()) std::fprintf(stderr, "nearcall: %s\n", outcome.error.c_str());
    return outcome.code;
  }

 private:
  CLI::App& Add(const std::string& name, const std::string& about, Outcome (*run)(const Settings& settings),
                const char* timeout_of = "all of it: connecting, asking for the description, the call") {
    CLI::App& command = *app_.add_subcommand(name, about);
    command.callback([this, run] { command_ = run; });
    AddTimeout(command, settings_, timeout_of);
    return command;
  }

  static Outcome List(const Settings& settings) {
    return settings.address.empty() && !settings.has_files() ? ListServers(settings) : ListServices(settings);
  }

  void AddLs() {
    CLI::App& command = Add("ls", "Lists servers; of one its services; of one of these its methods", &List);
    command.add_option("ADDRESS", settings_.address, "of a server");
    command.add_option("SERVICE", settings_.name, "package.Service");
    AddFiles(command, settings_);
  }

  void AddDescribe() {
    CLI::App& command = Add("describe", "Shows a service, method, message or enum as the text of a .proto file",
                            [](const Settings& settings) { return Described(settings); });
    command.add_option("ADDRESS", settings_.address, "of a server; left out with --proto and --protoset")->required();
    command.add_option("SYMBOL", settings_.name, "package.Name");
    AddFiles(command, settings_);
  }

  // With files there is one argument, the symbol.
  static Outcome Described(Settings settings) {
    if (settings.name.empty()) std::swap(settings.name, settings.address);
    if (!settings.has_files() && settings.address.empty()) {
      return Outcome::Because(kUsage, "describe: both an ADDRESS and a SYMBOL are wanted");
    }
    return Describe(settings);
  }

  void AddCall() {
    CLI::App& command = Add("call", "Calls a method, with JSON", &Call);
    command.add_option("ADDRESS", settings_.address, "of a server")->required();
    command.add_option("METHOD", settings_.name, "package.Service/Method")->required();
    command.add_option("-d,--data", settings_.data,
                       "what is sent, in JSON: a text, @FILE, or @- for standard input; for a method whose client "
                       "streams, one message a line");
    AddHeaders(command, settings_);
    command.add_flag("--emit-defaults", settings_.json.defaults, "shows fields that have their default, too");
    command.add_flag("--pretty", settings_.json.indented, "indents what comes, over several lines");
    command.add_flag("-v,--verbose", settings_.verbose, "shows the server's metadata, on standard error");
    AddPriority(command, settings_);
    AddFiles(command, settings_);
  }

  void AddPing() {
    CLI::App& command = Add("ping", "Measures round trips, one after the other", &Ping);
    command.add_option("ADDRESS", settings_.address, "of a server")->required();
    command.add_option("-n,--count", settings_.count, "how many")
        ->check(CLI::Range(1, 10'000'000))
        ->capture_default_str();
    AddPriority(command, settings_);
  }

  void AddStat() {
    CLI::App& command = Add("stat", "Shows what a server, or each, does: calls, latencies, bytes, connections, users",
                            &Stat, "connecting, and each answer");
    command.add_option("ADDRESS", settings_.address, "of a server; left out: all that this user can reach");
    command.add_flag("--emit-defaults", settings_.json.defaults, "with --json: shows what is zero, too");
    AddStatFlags(command, settings_);
  }

  void AddTrace() {
    CLI::App& command = Add("trace", "Shows calls of a server, each when it is over, until it is interrupted", &Trace,
                            "connecting, until the trace begins");
    command.add_option("ADDRESS", settings_.address, "of a server")->required();
    command.add_option("METHOD", settings_.name, "package.Service/Method, or package.Service; left out: all");
    AddTraceFlags(command, settings_);
  }

  void AddBench() {
    CLI::App& command = Add("bench", "Calls a method again and again, and tells how long that takes", &Bench,
                            "connecting, and each call");
    command.add_option("ADDRESS", settings_.address, "of a server")->required();
    command.add_option("METHOD", settings_.name, "package.Service/Method, which does not stream")->required();
    AddBenchFlags(command, settings_);
    AddHeaders(command, settings_);
    AddPriority(command, settings_);
    AddFiles(command, settings_);
  }

  Settings settings_;
  CLI::App app_{kAbout, "nearcall"};
  std::function<Outcome(const Settings& settings)> command_;
};

}  // namespace
}  // namespace nearcall::tools

int main(int argc, char** argv) {
  // Who reads what is printed may have gone: then there is nothing left to do.
  std::signal(SIGPIPE, SIG_DFL);
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // What it says of descriptions that are wrong is said by us.
  google::protobuf::SetLogHandler(nullptr);
#endif
  return nearcall::tools::CommandLine().Run(argc, argv);
}
