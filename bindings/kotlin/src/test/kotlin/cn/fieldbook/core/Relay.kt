package cn.fieldbook.core

import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import kotlin.concurrent.thread

/** A line to the server that can go silent: what phones send arrives, what the server answers is held back. */
class Relay(private val serverPort: Int) : AutoCloseable {
    private val listening = ServerSocket(0, 0, InetAddress.getLoopbackAddress())

    /** Answers do not arrive any more; connections stay open. */
    @Volatile
    var silent = false

    val address: String get() = "127.0.0.1:${listening.localPort}"

    init {
        thread(isDaemon = true) { quietly { while (true) carry(listening.accept()) } }
    }

    override fun close() = listening.close()

    private fun carry(phone: Socket) {
        val server = try {
            Socket(InetAddress.getLoopbackAddress(), serverPort)
        } catch (_: IOException) {
            return phone.close()
        }
        thread(isDaemon = true) { copy(phone.getInputStream(), server.getOutputStream()) { true }; quietly(server::close) }
        thread(isDaemon = true) { copy(server.getInputStream(), phone.getOutputStream()) { !silent }; quietly(phone::close) }
    }

    private fun copy(from: InputStream, to: OutputStream, passes: () -> Boolean) = quietly {
        val buffer = ByteArray(16 * 1024)
        while (true) {
            val read = from.read(buffer)
            if (read < 0) break
            if (passes()) to.write(buffer, 0, read)
        }
    }

    /** Either end may close at any time. */
    private fun quietly(work: () -> Unit) {
        try {
            work()
        } catch (_: IOException) {
        }
    }
}
