// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace nearcall::proxy {

namespace {

constexpr absl::string_view kGrpc = "grpc:";

bool IsOfNetwork(absl::string_view address) {
  return absl::StartsWith(address, kGrpc);
}

// Nobody but this host can have these, nor be there.
bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(kGrpc.size(), address.rfind(':') - kGrpc.size());
  // A name may begin like a number.
  const bool is_number = host.find_first_not_of("0123456789.") == absl::string_view::npos;
  return host == "localhost" || host == "[::1]" || (is_number && absl::StartsWith(host, "127."));
}

// The first thing that is wrong with a file.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(std::string path) : path_(std::move(path)) {}

#if GOOGLE_PROTOBUF_VERSION >= 4022000
  void RecordError(int line, int column, absl::string_view message) override {
    Note(line, column, message);
  }
#else
  void AddError(int line, int column, const std::string& message) override {
    Note(line, column, message);
  }
#endif

  const std::string& text() const {
    return text_;
  }

 private:
  void Note(int line, int column, absl::string_view message) {
    if (text_.empty()) text_ = absl::StrCat(path_, ":", line + 1, ":", column + 1, ": ", message);
  }

  const std::string path_;
  std::string text_;
};

absl::Status Wrong(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status CheckTls(absl::string_view where, const std::string& address, bool has_tls, const Tls& tls,
                      bool plaintext) {
  if (has_tls && plaintext) return Wrong(where, "either tls or plaintext");
  if (tls.certificate().empty() != tls.key().empty()) return Wrong(where, "tls: a certificate and its key go together");
  if (has_tls || plaintext || IsLoopback(address)) return absl::OkStatus();
  return Wrong(where,
               "other hosts than this one are reached over the network, where everybody between can read and change "
               "what is said: set tls, or plaintext (--plaintext) if that is what you want");
}

absl::Status CheckPort(const Port& port) {
  const std::string where = absl::StrCat("port ", port.listen());
  if (!IsOfNetwork(port.listen())) return Wrong(where, "listen is to be grpc:HOST:PORT");
  if (port.route().empty()) return Wrong(where, "it has no route");
  for (const Route& route : port.route()) {
    if (route.to().empty()) return Wrong(where, "a route lacks its `to`");
    if (IsOfNetwork(route.to())) return Wrong(where, absl::StrCat(route.to(), " is no server of this machine"));
  }
  if (port.has_tls() && port.tls().certificate().empty()) return Wrong(where, "tls: it lacks its certificate");
  return CheckTls(where, port.listen(), port.has_tls(), port.tls(), port.plaintext());
}

absl::Status CheckName(const Name& name) {
  const std::string where = absl::StrCat("name ", name.listen().empty() ? "" : name.listen(0));
  if (name.listen().empty()) return Wrong(where, "it lacks its `listen`");
  for (const std::string& listen : name.listen()) {
    if (IsOfNetwork(listen)) return Wrong(where, absl::StrCat(listen, " is no name of this machine"));
  }
  if (!IsOfNetwork(name.to())) return Wrong(where, "`to` is to be grpc:HOST:PORT");
  return CheckTls(where, name.to(), name.has_tls(), name.tls(), name.plaintext());
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file || text.fail()) return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  return text.str();
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  FirstError error(path);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  Config config;
  if (parser.ParseFromString(*text, &config)) return config;
  return absl::InvalidArgumentError(error.text());
}

absl::Status AddPair(const std::string& listen, const std::string& to, bool plaintext, Config& config) {
  if (IsOfNetwork(listen) == IsOfNetwork(to)) {
    return absl::InvalidArgumentError(
        absl::StrCat("of ", listen, " and ", to, " exactly one is to be of the network, grpc:HOST:PORT"));
  }
  if (IsOfNetwork(listen)) {
    Port& port = *config.add_port();
    port.set_listen(listen);
    port.set_plaintext(plaintext);
    port.add_route()->set_to(to);
  } else {
    Name& name = *config.add_name();
    name.add_listen(listen);
    name.set_to(to);
    name.set_plaintext(plaintext);
  }
  return absl::OkStatus();
}

absl::Status Check(const Config& config) {
  if (config.port().empty() && config.name().empty()) return absl::InvalidArgumentError("there is nothing to pass on");
  for (const Port& port : config.port()) {
    if (absl::Status checked = CheckPort(port); !checked.ok()) return checked;
  }
  for (const Name& name : config.name()) {
    if (absl::Status checked = CheckName(name); !checked.ok()) return checked;
  }
  return absl::OkStatus();
}

}  // namespace nearcall::proxy
