package cn.fieldbook.core

import java.io.BufferedReader
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread

/** A `fieldbook-server` process on a free loopback port, with its data in a folder of its own. */
class Server(private val data: Path) : AutoCloseable {
    private var process: Process? = null

    /** Where it listens on the loopback. */
    var port = 0
        private set

    /** An administrator's command on the data folder; returns what it printed. */
    fun administer(vararg arguments: String): String {
        val errors = Files.createTempFile(data.parent, "admin", ".log").toFile()
        val command = builder(*arguments).redirectError(errors).start()
        command.outputStream.close()
        val printed = command.inputStream.bufferedReader().use(BufferedReader::readText)
        check(command.waitFor(WAIT_SECONDS, TimeUnit.SECONDS)) { "${arguments.toList()} does not end" }
        check(command.exitValue() == 0) { "${arguments.toList()} failed: $printed${errors.readText()}" }
        return printed
    }

    /** Starts it and waits until it says that it listens. */
    fun start() {
        val errors = data.resolveSibling("server.log").toFile()
        val started = builder("serve", "--listen", "127.0.0.1:0").redirectError(errors).start()
        process = started
        val output = started.inputStream.bufferedReader()
        val listening = generateSequence(output::readLine).firstOrNull { it.startsWith(LISTENING) }
        checkNotNull(listening) { "the server ended before it listened: ${errors.readText()}" }
        port = listening.substringAfterLast(':').toInt()
        // Whoever stops reading stops the writer once the pipe is full; the pipe closes with the process.
        thread(isDaemon = true) {
            try {
                output.forEachLine { }
            } catch (_: IOException) {
            }
        }
    }

    /** A one-time link for a new phone of `user`, which finds the server at `address`. */
    fun link(user: String, address: String = "127.0.0.1:$port"): String =
        administer("device", "enrol", user, "--address", address).lines().first { it.startsWith("fieldbook://") }

    override fun close() {
        process?.destroy()
        process?.waitFor(WAIT_SECONDS, TimeUnit.SECONDS)
    }

    private fun builder(vararg arguments: String): ProcessBuilder {
        val program = checkNotNull(System.getProperty("fieldbook.server")) { "-Dfieldbook.server names the program" }
        return ProcessBuilder(program, "--data", data.toString(), "--lang", "en", *arguments)
    }

    private companion object {
        /** A command that takes longer hangs. */
        const val WAIT_SECONDS = 120L
        const val LISTENING = "listening on https://"
    }
}
