// SPDX-License-Identifier: Apache-2.0
#include "session/streaming_call.h"

#include <utility>

#include "base/clock.h"

namespace nearcall::session {

StreamingCall::StreamingCall(ClientSession& session, bool server_streams)
    : WaitingCall(session),
      stream_({.peer_is_caller = false,
               .peer_streams = server_streams,
               .send_window = session.terms().send_window,
               .receive_window = session.terms().receive_window},
              caller(), writer_),
      read_(session.terms().receive_window) {
  stream = &stream_;
  caller().of_stream = writer_.of_stream = true;
}

// --- who reads ---

StreamingCall::Took StreamingCall::Take(Arrivals& mine) {
  caller().ForgetNews();
  // Before the look: what had come before the end has come then.
  const bool over = finished();
  if (session().callers().Locked([&] { return stream_.TakeArrivals(mine); })) {
    caller().AwaitNothing();
    return Took::kSome;
  }
  return over ? Took::kOver : Took::kNotYet;
}

void StreamingCall::WaitReadable() {
  session().readers().Wait(caller(), deadline, [this] { return caller().has_news(); });
  if (!finished() && !caller().has_news()) EndAtDeadline();
}

void StreamingCall::GiveCredit(const wire::FrameHeader& header, size_t element_size) {
  const uint32_t credit = read_.Read(element_size);
  if (credit == 0 || finished()) return;
  session().callers().Locked([&] { stream_.OpenWindow(credit); });
  wire::FrameHeader frame = header;
  frame.kind = wire::FrameKind::kCredit;
  frame.message_size = credit;
  base::Buffer nothing;
  session().poster().Post(frame, nothing, Outbox::HandOver::kNow);
  caller().Await(base::NowNs());
}

std::optional<std::string> StreamingCall::InitialEnvelope() {
  return session().callers().Locked([&] { return stream_.initial_envelope(); });
}

void StreamingCall::Discard(const wire::FrameHeader& header, Arrivals& taken) {
  for (; !taken.empty(); taken.Pop()) GiveCredit(header, taken.front_cost());
}

void StreamingCall::Drain(const wire::FrameHeader& header) {
  Arrivals dropped;
  for (;;) {
    switch (Take(dropped)) {
      case Took::kSome:
        Discard(header, dropped);
        break;
      case Took::kNotYet:
        WaitReadable();
        break;
      case Took::kOver:
        return;
    }
  }
}

// SUBTLE: does not wait for the end (somebody may be just making it): that is for the one who reads.
void StreamingCall::GiveUp(absl::Status why) {
  if (session().callers().Fail(*this, std::move(why))) session().end().SendCancel(id);
}

void StreamingCall::GiveUp(absl::Status why, Outgoing& element) {
  session().outbox().Withdraw(element);
  GiveUp(std::move(why));
}

void StreamingCall::EndAtDeadline(absl::string_view waiting_for) {
  GiveUp(session().Late(waiting_for, *this));
}

// --- who writes ---

void StreamingCall::Look() {
  bool has_looked = false;
  session().readers().Wait(writer_, 0, [&] { return std::exchange(has_looked, true); });
}

bool StreamingCall::BeginElement(size_t size, bool fail_fast) {
  const auto try_begin = [&] { return session().callers().Locked([&] { return stream_.BeginElement(size); }); };
  while (!finished()) {
    writer_.ForgetNews();
    if (try_begin()) return true;
    if (fail_fast) {
      GiveUp(session().end().server().NoCredit());
      return false;
    }
    // Nothing of the server's comes but by its leader, who may be stuck.
    writer_.lane = lane;
    writer_.Await(base::NowNs());
    session().readers().Wait(writer_, deadline, [this] { return writer_.has_news(); });
    writer_.AwaitNothing();
    if (!finished() && !writer_.has_news()) EndAtDeadline("no credit for an element");
  }
  return false;
}

bool StreamingCall::TrySendElement(const wire::FrameHeader& header, size_t size, Outbox::Write write) {
  if (!session().outbox().TrySend(header, size, write)) return false;
  session().poster().WakeReaderForRest();
  NoteWritten();
  return true;
}

// SUBTLE: who makes the call's end wakes the writer before it stands (ClientCall::Complete), so what still waits may be
// of a call that does not count as ended yet. It is never left behind: it is the caller's.
bool StreamingCall::SendElement(Outgoing& element) {
  Outbox& outbox = session().outbox();
  element.sender = &writer_.waiter;
  if (!finished() && !outbox.Offer(element)) {
    session().callers().InterruptReader();
    WaitForRoom(writer_, element);
    if (outbox.Waits(element)) {
      if (!finished()) EndAtDeadline("no room for an element, and none");
      outbox.Withdraw(element);
      return element.fragmenter.done();
    }
  } else {
    session().poster().WakeReaderForRest();
  }
  if (finished()) {
    outbox.Withdraw(element);
    // The last frame may have been the one that was answered.
    return element.fragmenter.done();
  }
  if (element.fragmenter.done()) NoteWritten();
  return true;
}

// Who reads rings for the answer, if it is late.
void StreamingCall::NoteWritten() {
  if (caller().since.load(std::memory_order_relaxed) != 0) return;
  caller().Await(base::NowNs());
  session().callers().Tell(caller());
}

}  // namespace nearcall::session
