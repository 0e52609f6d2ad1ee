// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/hello.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport {

namespace {

static_assert(std::endian::native == std::endian::little, "the layouts below are little-endian");

// On the wire "NCch", "NCsh", "NCak".
constexpr uint32_t kClientMagic = 0x6863434e;
constexpr uint32_t kServerMagic = 0x6873434e;
constexpr uint32_t kAckMagic = 0x6b61434e;

struct Prefix {
  uint32_t magic;
  uint16_t major;
  uint16_t minor;
};

struct ClientLayout {
  Prefix prefix;
  uint32_t layout;
  uint32_t transports;
  uint64_t features;
  uint32_t max_message_size;
  uint32_t max_calls_in_flight;
  uint32_t stream_window;
  uint8_t max_descriptors;
  uint8_t max_attachments;
  uint8_t takes_lent;
  uint8_t reserved;
  uint32_t max_attachment_bytes;
  uint8_t reserved_too[20];
};

struct ServerLayout {
  Prefix prefix;
  uint32_t layout;
  uint32_t status;
  uint64_t features;
  uint32_t max_message_size;
  uint32_t max_calls_in_flight;
  uint32_t server_id;
  uint32_t connection_id;
  uint8_t transport_bit;
  uint8_t fd_count;
  uint16_t text_size;
  uint32_t stream_window;
  uint8_t max_descriptors;
  uint8_t max_attachments;
  uint8_t takes_lent;
  uint8_t reserved;
  uint32_t max_attachment_bytes;
  uint8_t reserved_too[8];
  uint64_t geometry[4];
  char text[kMaxRefusalTextSize];
};

struct AckLayout {
  uint32_t magic;
  uint32_t status;
  uint8_t reserved[8];
};

static_assert(sizeof(ClientLayout) == 64 && offsetof(ClientLayout, stream_window) == 32 &&
              offsetof(ClientLayout, max_descriptors) == 36 && offsetof(ClientLayout, max_attachment_bytes) == 40);
static_assert(sizeof(ServerLayout) == 352 && offsetof(ServerLayout, stream_window) == 44 &&
              offsetof(ServerLayout, max_descriptors) == 48 && offsetof(ServerLayout, max_attachment_bytes) == 52 &&
              offsetof(ServerLayout, geometry) == 64 && offsetof(ServerLayout, text) == 96);
static_assert(sizeof(ServerLayout) <= kMaxHelloSize);
static_assert(sizeof(AckLayout) == 16);

// What both sides must have compiled alike: the sizes of server hello, acknowledgement and control message.
constexpr uint32_t kLayout =
    uint32_t{sizeof(ServerLayout)} | uint32_t{sizeof(AckLayout)} << 16 | uint32_t{kControlMessageSize} << 24;

// Both hellos have the same fields for this, at different places.
template <typename Layout>
void SetTerms(Layout& layout, const SessionTerms& terms) {
  layout.max_message_size = terms.max_message_size;
  layout.max_calls_in_flight = terms.max_calls_in_flight;
  layout.stream_window = terms.stream_window;
  layout.max_descriptors = terms.max_descriptors;
  layout.max_attachments = terms.max_attachments;
  layout.max_attachment_bytes = terms.max_attachment_bytes;
  layout.takes_lent = terms.takes_lent;
}

template <typename Layout>
SessionTerms TermsOf(const Layout& layout) {
  return {.max_message_size = layout.max_message_size,
          .max_calls_in_flight = layout.max_calls_in_flight,
          .stream_window = layout.stream_window,
          .max_descriptors = layout.max_descriptors,
          .max_attachments = layout.max_attachments,
          .max_attachment_bytes = layout.max_attachment_bytes,
          .takes_lent = layout.takes_lent};
}

constexpr Prefix PrefixOf(uint32_t magic) {
  return {.magic = magic, .major = kProtocolMajor, .minor = kProtocolMinor};
}

template <typename Layout>
std::vector<std::byte> ToBytes(const Layout& layout) {
  static_assert(std::is_trivially_copyable_v<Layout> && std::has_unique_object_representations_v<Layout>);
  std::vector<std::byte> bytes(sizeof(layout));
  std::memcpy(bytes.data(), &layout, sizeof(layout));
  return bytes;
}

absl::Status CheckSize(std::span<const std::byte> bytes, size_t expected, absl::string_view what) {
  if (bytes.size() == expected) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " has ", bytes.size(), " bytes, not ", expected));
}

absl::Status CheckPrefix(std::span<const std::byte> bytes, uint32_t magic, absl::string_view what) {
  Prefix prefix;
  if (bytes.size() < sizeof(prefix)) {
    return absl::InternalError(absl::StrCat(what, " has ", bytes.size(), " bytes, not even a version"));
  }
  std::memcpy(&prefix, bytes.data(), sizeof(prefix));
  if (prefix.magic != magic) return absl::InternalError(absl::StrCat(what, " does not begin as one"));
  if (prefix.major == kProtocolMajor) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the peer speaks version ", prefix.major, ".", prefix.minor,
                                                    " of the protocol, this side ", kProtocolMajor, ".", kProtocolMinor,
                                                    "; update the older one"));
}

// Copies a message out, once its version and size are known to be ours.
template <typename Layout>
absl::StatusOr<Layout> FromBytes(std::span<const std::byte> bytes, uint32_t magic, absl::string_view what) {
  if (absl::Status prefix = CheckPrefix(bytes, magic, what); !prefix.ok()) return prefix;
  if (absl::Status size = CheckSize(bytes, sizeof(Layout), what); !size.ok()) return size;
  Layout layout;
  std::memcpy(&layout, bytes.data(), sizeof(layout));
  if (layout.layout == kLayout) return layout;
  return absl::FailedPreconditionError(absl::StrCat("the peer's messages have other sizes (", layout.layout,
                                                    ") than this side's (", kLayout, "); build both from one version"));
}

bool IsErrorCode(uint32_t code) {
  return code > static_cast<uint32_t>(absl::StatusCode::kOk) &&
         code <= static_cast<uint32_t>(absl::StatusCode::kUnauthenticated);
}

// The peer's text goes into messages for people and logs: nothing in it may steer a terminal or break a line.
std::string Printable(absl::string_view text) {
  std::string printable(text);
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); },
      '?');
  return printable;
}

absl::Status CheckFields(const ServerLayout& layout) {
  if (layout.text_size > kMaxRefusalTextSize) {
    return absl::InternalError(absl::StrCat("the server's hello holds a text of ", layout.text_size, " bytes"));
  }
  if (layout.status != 0 && !IsErrorCode(layout.status)) {
    return absl::InternalError(absl::StrCat("the server's hello holds the status ", layout.status));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::byte> Encode(const ClientHello& hello) {
  ClientLayout layout{};
  layout.prefix = PrefixOf(kClientMagic);
  layout.layout = kLayout;
  layout.transports = hello.transports;
  layout.features = hello.features;
  SetTerms(layout, hello.terms);
  return ToBytes(layout);
}

std::vector<std::byte> Encode(const ServerHello& hello) {
  ServerLayout layout{};
  layout.prefix = PrefixOf(kServerMagic);
  layout.layout = kLayout;
  layout.status = static_cast<uint32_t>(hello.status.code());
  layout.features = hello.features;
  SetTerms(layout, hello.terms);
  layout.server_id = hello.server_id;
  layout.connection_id = hello.connection_id;
  layout.transport_bit = hello.transport_bit;
  layout.fd_count = hello.fd_count;
  std::copy(hello.geometry.begin(), hello.geometry.end(), layout.geometry);
  const absl::string_view text = hello.status.message().substr(0, kMaxRefusalTextSize);
  layout.text_size = static_cast<uint16_t>(text.size());
  std::copy(text.begin(), text.end(), layout.text);
  return ToBytes(layout);
}

std::vector<std::byte> EncodeAck(absl::StatusCode code) {
  return ToBytes(AckLayout{.magic = kAckMagic, .status = static_cast<uint32_t>(code), .reserved = {}});
}

absl::StatusOr<ClientHello> DecodeClientHello(std::span<const std::byte> bytes) {
  const auto layout = FromBytes<ClientLayout>(bytes, kClientMagic, "the client's hello");
  if (!layout.ok()) return layout.status();
  return ClientHello{.features = layout->features, .transports = layout->transports, .terms = TermsOf(*layout)};
}

absl::StatusOr<ServerHello> DecodeServerHello(std::span<const std::byte> bytes) {
  const auto layout = FromBytes<ServerLayout>(bytes, kServerMagic, "the server's hello");
  if (!layout.ok()) return layout.status();
  if (absl::Status fields = CheckFields(*layout); !fields.ok()) return fields;
  ServerHello hello{.status = absl::Status(static_cast<absl::StatusCode>(layout->status),
                                           Printable(absl::string_view(layout->text, layout->text_size))),
                    .features = layout->features,
                    .transport_bit = layout->transport_bit,
                    .fd_count = layout->fd_count,
                    .terms = TermsOf(*layout),
                    .server_id = layout->server_id,
                    .connection_id = layout->connection_id};
  std::copy(std::begin(layout->geometry), std::end(layout->geometry), hello.geometry.begin());
  return hello;
}

absl::StatusOr<absl::StatusCode> DecodeAck(std::span<const std::byte> bytes) {
  if (absl::Status size = CheckSize(bytes, sizeof(AckLayout), "the client's acknowledgement"); !size.ok()) return size;
  AckLayout layout;
  std::memcpy(&layout, bytes.data(), sizeof(layout));
  if (layout.magic != kAckMagic) return absl::InternalError("the client's acknowledgement does not begin as one");
  if (layout.status == 0) return absl::StatusCode::kOk;
  if (IsErrorCode(layout.status)) return static_cast<absl::StatusCode>(layout.status);
  return absl::InternalError(absl::StrCat("the client's acknowledgement holds the status ", layout.status));
}

}  // namespace nearcall::transport
