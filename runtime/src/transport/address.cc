// SPDX-License-Identifier: Apache-2.0
#include "transport/address.h"

#include <sys/un.h>

#include <algorithm>
#include <climits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"

namespace nearcall::transport {

namespace {

constexpr size_t kMaxPathSize = sizeof(sockaddr_un::sun_path) - 1;

// FDNAME_MAX of systemd.
constexpr size_t kMaxSocketNameSize = 255;

absl::Status Malformed(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "address \"", absl::CHexEscape(text), "\": ", why,
      "; write transport:name, name, transport:/absolute/path, fd:number or exec:/absolute/path (a server also: "
      "systemd:name, inherited:)"));
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

// What is wrong with `name`; empty: nothing.
std::string FaultOfName(absl::string_view name) {
  if (name.empty()) return "the name is empty";
  if (name.size() > base::kMaxNameSize) return absl::StrCat("the name is longer than ", base::kMaxNameSize, " bytes");
  if (absl::StrContains(name, '/')) return "a path must be absolute, and a name has no '/'";
  if (name.front() == '.') return "a name does not begin with '.'";
  if (absl::StrContains(name, "..")) return "a name does not hold \"..\"";
  if (!std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return "a name consists of letters, digits, '.', '_' and '-'";
  }
  return "";
}

std::string FaultOfPath(absl::string_view path) {
  if (path.size() > kMaxPathSize) {
    return absl::StrCat("the path is longer than ", kMaxPathSize, " bytes, the kernel's limit for a socket");
  }
  if (absl::StrContains(path, '\0')) return "the path holds a zero byte";
  const std::string fault = FaultOfName(path.substr(path.rfind('/') + 1));
  return fault.empty() ? "" : absl::StrCat("the path's last part: ", fault);
}

absl::StatusOr<Address> ParseFd(absl::string_view text, absl::string_view number) {
  Address address{.kind = Address::Kind::kFd, .text = std::string(text)};
  const bool digits = !number.empty() && std::all_of(number.begin(), number.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  if (!digits || !absl::SimpleAtoi(number, &address.fd)) {
    return Malformed(text, "after \"fd:\" stands the number of a descriptor");
  }
  return address;
}

// systemd allows nearly everything in a name (FileDescriptorName= of systemd.socket(5)).
absl::StatusOr<Address> ParseActivated(absl::string_view text, absl::string_view name) {
  const bool printable = std::all_of(
      name.begin(), name.end(), [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != ':'; });
  if (!printable || name.size() > kMaxSocketNameSize) {
    return Malformed(text, absl::StrCat("after \"systemd:\" stands the name of a socket, of up to ", kMaxSocketNameSize,
                                        " characters without spaces and ':', or nothing"));
  }
  return Address{.kind = Address::Kind::kActivated, .name = std::string(name), .text = std::string(text)};
}

absl::StatusOr<Address> ParseExec(absl::string_view text, absl::string_view path) {
  std::string fault;
  if (!absl::StartsWith(path, "/")) fault = "after \"exec:\" stands the absolute path of a program";
  if (path.size() >= PATH_MAX) fault = absl::StrCat("the path is longer than ", PATH_MAX - 1, " bytes");
  if (absl::StrContains(path, '\0')) fault = "the path holds a zero byte";
  if (!fault.empty()) return Malformed(text, fault);
  return Address{.kind = Address::Kind::kExec, .name = std::string(path), .text = std::string(text)};
}

absl::StatusOr<Address> ParseInherited(absl::string_view text, absl::string_view rest) {
  if (!rest.empty()) return Malformed(text, "nothing stands after \"inherited:\"");
  return Address{.kind = Address::Kind::kInherited, .text = std::string(text)};
}

std::string NamesOf(std::span<const TransportRow> transports) {
  return absl::StrJoin(transports, ", ",
                       [](std::string* out, const TransportRow& row) { absl::StrAppend(out, row.name); });
}

}  // namespace

absl::StatusOr<Address> ParseAddress(absl::string_view text, std::span<const TransportRow> transports) {
  Address address{.text = std::string(text)};
  absl::string_view rest = text;
  const size_t colon = text.find(':');
  if (!absl::StartsWith(text, "/") && colon != absl::string_view::npos) {
    const absl::string_view prefix = text.substr(0, colon);
    rest = text.substr(colon + 1);
    if (prefix == "fd") return ParseFd(text, rest);
    if (prefix == "systemd") return ParseActivated(text, rest);
    if (prefix == "exec") return ParseExec(text, rest);
    if (prefix == "inherited") return ParseInherited(text, rest);
    if (prefix == "grpc") {
      return Malformed(text, "grpc: is for nearcall::grpc::Connect() and nearcall::grpc::Port (nearcall/grpc.h)");
    }
    if (std::none_of(transports.begin(), transports.end(), [&](const auto& row) { return row.name == prefix; })) {
      return Malformed(text, absl::StrCat("there is no transport \"", absl::CHexEscape(prefix),
                                          "\", there are: ", NamesOf(transports)));
    }
    address.transport = std::string(prefix);
  }
  const bool is_path = absl::StartsWith(rest, "/");
  const std::string fault = is_path ? FaultOfPath(rest) : FaultOfName(rest);
  if (!fault.empty()) return Malformed(text, fault);
  address.kind = is_path ? Address::Kind::kPath : Address::Kind::kName;
  address.name = std::string(rest);
  return address;
}

}  // namespace nearcall::transport
