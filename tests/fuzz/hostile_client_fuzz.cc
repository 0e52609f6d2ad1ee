// SPDX-License-Identifier: Apache-2.0

// A client that shakes hands and then breaks every rule, against a real server in this process: the script says what it
// does next. A bystander must be served all the while, and when the client has gone nothing of it is left.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "fuzz/hostile_client.h"
#include "fuzz/hostile_handshake.h"
#include "fuzz/victim.h"
#include "transport/rendezvous/control_message.h"
#include "transport/shm/layout.h"
#include "transport/transport_table.h"

namespace nearcall::fuzz {
namespace {

// One run of a script.
class Attack {
 public:
  Attack(Victim& victim, const transport::TransportRow& row, Input& script)
      : victim_(victim),
        script_(script),
        client_(row.MeetsAtSocket() ? HostileClient(victim.Connect(), row)
                                    : HostileClient(victim.AddressOf(row), row)) {}

  void Run() {
    while (!script_.empty() && Step()) {
    }
  }

 private:
  static constexpr size_t kLetterSize = 24;
  static constexpr size_t kMostOfAMessage = 253;  // that the kernel passes

  uint8_t Byte() { return script_.Take<uint8_t>(); }

  // False: hangs up.
  bool Step() {
    // Scripts that were found before a step was added keep their meaning: it gets one of the last values.
    const uint8_t byte = Byte();
    const int step = byte < 240 ? byte % 12 : byte - 240 + 12;
    switch (step) {
      case 0:
      case 1:
        SendRequest();
        break;
      case 2:
        SendFragment();
        break;
      case 3:
        client_.SendFrame(script_.TakeBytes(Byte()));
        break;
      case 4:
        Poke();
        break;
      case 5:
        MoveTail();
        break;
      case 6:
        client_.Ring();
        break;
      case 7:
        SendControl();
        break;
      case 8:
        victim_.CheckBystander();
        break;
      case 9:
        client_.Read(Byte());
        break;
      case 10:
        client_.SetBlocking(Byte() % 2 == 0);
        break;
      case 12:
        client_.FallAsleep();
        break;
      case 13:
        WriteBell();
        break;
      case 14: {
        const auto seed = script_.Take<uint32_t>();
        client_.WriteBellOften(seed, script_.Take<uint16_t>());
        break;
      }
      default:
        return StreamStep(step);
    }
    return true;
  }

  bool StreamStep(int step) {
    switch (step) {
      case 15:
        OpenStream();
        break;
      case 16:
        SendElement();
        break;
      case 17: {
        // As many as may be there are: with credit, and then without.
        const auto seed = script_.Take<uint16_t>();
        for (size_t i = 0; i < seed % 100u; ++i) SendWholeElement(Stream(), 0, Message("er"[seed % 2]));
        break;
      }
      case 18:
        SendHalfClose();
        break;
      case 19:
        SendCredit();
        break;
      case 20:
        CancelStream();
        break;
      case 21:
        SendPartOfElement();
        break;
      default:
        return LetterStep(step);
    }
    return true;
  }

  bool LetterStep(int step) {
    switch (step) {
      case 22:
        SendRequestWithLetter();
        break;
      case 23:
        SendElementWithLetter();
        break;
      case 24:
        SendManyLetters();
        break;
      case 25: {
        const uint8_t count = Byte();
        client_.SendLetter(script_.TakeBytes(Byte() % 64), DescriptorOfKind(count / 4), count % 32);
        break;
      }
      case 26:
        client_.ReadLetters(Byte());
        break;
      case 27:
        client_.CloseSideSocket();
        break;
      default:
        return false;
    }
    return true;
  }

  // Not the urgent one: who may use it can hold every place for handlers with calls that never end, and then no
  // bystander is served (README, Limits).
  int Lane() { return Byte() % (base::kLanes - 1); }

  // A call, all in one frame. The payload is a serialised BytesValue, which says what the handler does, or garbage.
  void SendRequest() {
    wire::FrameHeader header = client_.NextHeader(Lane());
    header.call_id = ++calls_;
    header.method_id = victim_.method_id(Byte() % Victim::kMethods);
    const uint8_t what = Byte();
    // Mostly as it should be; else as one that opens a stream, or in a slot that is taken.
    if (what % 8 != 7) header.flags |= wire::kEnd;
    if (what % 32 == 15) header.call_id = (calls_ - 1) | calls_ << wire::kSlotBits;
    const std::vector<std::byte> payload = what < 128 ? Message("wge"[what % 3]) : Bytes(what % 64);
    header.payload_size = header.message_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  // --- streams ---

  // A call of a method that streams; mostly called as what it is.
  void OpenStream() {
    const internal::MethodInfo& method = victim_.streaming_method(Byte() % EchoStreams::kMethods);
    wire::FrameHeader header = client_.NextHeader(Lane());
    header.call_id = ++calls_;
    header.method_id = method.id;
    const uint8_t what = Byte();
    if (!internal::ClientStreams(method.kind) != (what % 16 == 7)) header.flags |= wire::kEnd;
    if (internal::ServerStreams(method.kind) != (what % 16 == 11)) header.flags |= wire::kElements;
    const std::vector<std::byte> payload = header.has(wire::kEnd) ? Message("eg"[what % 2]) : std::vector<std::byte>();
    header.payload_size = header.message_size = static_cast<uint32_t>(payload.size());
    streams_.push_back(header);
    Send(header, payload);
  }

  // The opening of one of those that are open, or were, or of none.
  wire::FrameHeader Stream() {
    if (streams_.empty()) return {};
    const uint8_t which = Byte();
    return streams_[which < 128 ? streams_.size() - 1 : which % streams_.size()];
  }

  wire::FrameHeader HeaderOf(wire::FrameKind kind, const wire::FrameHeader& stream) {
    wire::FrameHeader header = client_.NextHeader(stream.priority);
    header.kind = kind;
    header.call_id = stream.call_id;
    header.method_id = stream.method_id;
    return header;
  }

  void SendElement() {
    const wire::FrameHeader stream = Stream();
    const uint8_t what = Byte();
    uint8_t flags = what % 32 == 5 ? wire::kEnd : 0;
    std::vector<std::byte> payload = what < 128 ? Message("er"[what % 2]) : Bytes(what % 64);
    if (what % 4 == 3) {
      flags |= wire::kPacked;
      payload = Packed(payload, what / 4 % 32);
    }
    SendWholeElement(stream, flags, payload);
  }

  void SendWholeElement(const wire::FrameHeader& stream, uint8_t flags, const std::vector<std::byte>& payload) {
    wire::FrameHeader header = HeaderOf(wire::FrameKind::kMessage, stream);
    header.flags |= flags;
    header.payload_size = header.message_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  // So many times, each behind its size; of the last one in four a byte is missing.
  static std::vector<std::byte> Packed(const std::vector<std::byte>& element, size_t count) {
    std::vector<std::byte> all;
    const auto size = static_cast<uint32_t>(element.size());
    const auto bytes = std::as_bytes(std::span(&size, 1));
    for (size_t i = 0; i < count; ++i) {
      all.insert(all.end(), bytes.begin(), bytes.end());
      all.insert(all.end(), element.begin(), element.end());
    }
    if (count % 4 == 1) all.pop_back();
    return all;
  }

  void SendHalfClose() { Send(HeaderOf(wire::FrameKind::kHalfClose, Stream()), {}); }

  void SendCredit() {
    wire::FrameHeader header = HeaderOf(wire::FrameKind::kCredit, Stream());
    const uint8_t what = Byte();
    header.message_size = what < 200 ? 50u * what : script_.Take<uint32_t>();
    Send(header, {});
  }

  void CancelStream() {
    client_.SendControl(
        transport::EncodeControl({.kind = transport::ControlMessage::Kind::kCancel, .call_id = Stream().call_id}));
  }

  // Any place of one of several frames; its size may be too large.
  void SendPartOfElement() {
    wire::FrameHeader header = HeaderOf(wire::FrameKind::kMessage, Stream());
    const uint8_t place = Byte();
    header.flags = place % 8;  // first, last, envelope
    if (place % 16 == 8) header.flags = wire::kLast | wire::kAborted;
    header.message_size = 64u * script_.Take<uint16_t>();
    const std::vector<std::byte> payload(place % 16 == 8 ? 0 : 1000);
    header.payload_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  // --- descriptors ---

  // Before the frame of `header`, which then announces what it brings. Half of them are as they should be.
  void SendLetter(wire::FrameHeader& header) {
    const uint8_t count = Byte() % 8 + 1;
    const uint8_t what = Byte();
    std::array<std::byte, kLetterSize> letter{};
    letter[0] = std::byte{header.priority};
    letter[1] = std::byte{count};
    std::memcpy(&letter[8], &header.sequence, sizeof(header.sequence));
    std::memcpy(&letter[16], &header.call_id, sizeof(header.call_id));
    size_t brought = count;
    header.fd_count = count;
    switch (what % 16) {
      case 1:
        brought = Byte();
        break;
      case 2:
        header.fd_count = Byte();
        break;
      case 3:
        letter[Byte() % letter.size()] ^= std::byte{Byte()};
        break;
      case 4:
        letter[2] = std::byte{1};  // lost, though they are there, or are not
        brought = Byte() % 2;
        break;
      case 5:
        return;
      case 6:
        header.fd_count = 0;
        break;
      case 7:
        client_.SendLetter(letter, DescriptorOfKind(what), brought);  // twice
        break;
      default:
        break;
    }
    client_.SendLetter(letter, DescriptorOfKind(what / 16), std::min(brought, kMostOfAMessage));
  }

  void SendRequestWithLetter() {
    wire::FrameHeader header = client_.NextHeader(Lane());
    header.call_id = ++calls_;
    header.method_id = victim_.method_id(Byte() % Victim::kMethods);
    header.flags |= wire::kEnd;
    SendLetter(header);
    const std::vector<std::byte> payload = Message("wed"[Byte() % 3]);
    header.payload_size = header.message_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  void SendElementWithLetter() {
    wire::FrameHeader header = HeaderOf(wire::FrameKind::kMessage, Stream());
    SendLetter(header);
    const std::vector<std::byte> payload = Message("er"[Byte() % 2]);
    header.payload_size = header.message_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  // For frames that come later, or never do.
  void SendManyLetters() {
    const uint8_t lane = Byte() % base::kLanes;
    for (uint8_t i = Byte() % 40; i > 0; --i) {
      std::array<std::byte, kLetterSize> letter{std::byte{lane}, std::byte{1}};
      letter[8] = std::byte{i};
      client_.SendLetter(letter, DescriptorOfKind(i), 1);
    }
  }

  // Any place of a message of several frames.
  void SendFragment() {
    wire::FrameHeader header = client_.NextHeader(Lane());
    header.flags = Byte();
    if (header.has(wire::kFirst)) ++calls_;
    header.call_id = calls_;
    header.method_id = victim_.method_id(0);
    header.message_size = script_.Take<uint16_t>();
    const std::vector<std::byte> payload = Bytes(Byte());
    header.payload_size = static_cast<uint32_t>(payload.size());
    Send(header, payload);
  }

  // With some of the header's bytes spoilt: one in four frames.
  void Send(const wire::FrameHeader& header, const std::vector<std::byte>& payload) {
    std::vector<std::byte> frame(wire::kHeaderSize + payload.size());
    wire::EncodeHeader(header, frame);
    std::copy(payload.begin(), payload.end(), frame.begin() + wire::kHeaderSize);
    if (Byte() % 4 == 0) Spoil(frame, Byte() % wire::kHeaderSize);
    client_.SendFrame(frame);
  }

  // The low bits of the lane stay: see Lane().
  void Spoil(std::vector<std::byte>& frame, size_t at) {
    const std::byte mask{at == offsetof(wire::FrameHeader, priority) ? uint8_t{0xfc} : uint8_t{0xff}};
    frame[at] ^= std::byte{Byte()} & mask;
  }

  static std::vector<std::byte> Message(char first) {
    return {std::byte{0x0a}, std::byte{1}, static_cast<std::byte>(first)};
  }

  std::vector<std::byte> Bytes(size_t size) {
    const std::span<const std::byte> bytes = script_.TakeBytes(size);
    return {bytes.begin(), bytes.end()};
  }

  void Poke() {
    const std::span<std::byte> region = client_.region();
    if (region.empty()) return client_.SendRaw(script_.TakeBytes(Byte()));
    const auto word = script_.Take<uint64_t>();
    // Half of them where the control page and the bell are.
    size_t at = script_.Take<uint32_t>() % (region.size() - sizeof(word));
    if (at % 2 == 0) at = at % 4 == 0 ? at % sizeof(transport::shm::ControlPage) : region.size() - 64 - at % 4096;
    std::memcpy(region.data() + at, &word, sizeof(word));
  }

  void WriteBell() {
    const auto at = script_.Take<uint16_t>();
    client_.WriteBell(at, script_.TakeBytes(Byte() % 64));
  }

  void MoveTail() {
    const auto by = script_.Take<uint16_t>();
    if (client_.region().empty()) return;
    auto& page = *reinterpret_cast<transport::shm::ControlPage*>(client_.region().data());
    page.tail.fetch_add(by);
  }

  void SendControl() {
    const uint8_t what = Byte();
    if (what % 4 == 0) return client_.SendControl(script_.TakeBytes(what));
    transport::ControlBytes bytes = transport::EncodeControl(
        {.kind = static_cast<transport::ControlMessage::Kind>(what % 6), .call_id = Byte() % 16u});
    if (what % 4 == 1) {
      if (what % 8 == 1) victim_.PermitDescriptors();
      return client_.SendControlWithDescriptor(bytes, DescriptorOfKind(what / 8));
    }
    client_.SendControl(bytes);
  }

  Victim& victim_;
  Input& script_;
  HostileClient client_;
  uint64_t calls_ = 0;
  std::vector<wire::FrameHeader> streams_;  // what opened them
};

// Now and then one that meets at no socket.
const transport::TransportRow& RowFor(uint8_t what) {
  std::vector<const transport::TransportRow*> at_socket;
  std::vector<const transport::TransportRow*> others;
  for (const transport::TransportRow& row : transport::Transports()) {
    (row.MeetsAtSocket() ? at_socket : others).push_back(&row);
  }
  return what % 32 == 30 ? *others[what / 32u % others.size()] : *at_socket[what % at_socket.size()];
}

}  // namespace

void Run(Input script) {
  static Victim victim;
  const auto what = script.Take<uint8_t>();
  if (what % 16 == 7) {
    AttackHandshake(victim, script);
  } else {
    Attack(victim, RowFor(what), script).Run();
  }
  victim.CheckNothingLeft();
  victim.CheckBystander();
}

}  // namespace nearcall::fuzz
