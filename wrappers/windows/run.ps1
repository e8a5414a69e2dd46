# @@container@@

# Whether a person looks at the output: as far as can be told, nothing takes it up. $Invocation is the script's own $MyInvocation.
function Test-Terminal($Invocation, [string[]]$Words) {
    if ($Host.Name -ne 'ConsoleHost' -or [Console]::IsInputRedirected -or [Console]::IsOutputRedirected) {
        return $false
    }
    if ($Invocation.ScriptName -or $Invocation.PipelineLength -ne 1 -or ($Words -clike '--output*')) {
        return $false
    }
    if (-not $Invocation.Line) {
        return $true
    }
    # What PowerShell does with the output it does not tell; the line that was typed does.
    $tokens = $null
    $errors = $null
    $tree = [System.Management.Automation.Language.Parser]::ParseInput($Invocation.Line, [ref]$tokens, [ref]$errors)
    $statements = @($tree.EndBlock.Statements)
    if ($statements.Count -ne 1 -or $statements[0] -isnot [System.Management.Automation.Language.PipelineAst]) {
        return $false
    }
    $elements = @($statements[0].PipelineElements)
    if ($elements.Count -ne 1 -or $elements[0] -isnot [System.Management.Automation.Language.CommandAst]) {
        return $false
    }
    return $elements[0].Redirections.Count -eq 0
}

# A run is known by its id once it has registered, a moment after its start.
function Stop-Run([string]$Invocation) {
    Write-Warned 'Cancelling. Waiting for hosts at work and for the result.'
    foreach ($try in 1..15) {
        if ((Invoke-Docker @('exec', $runtime, '/flageemonitor/run_action.sh', 'cancel', $Invocation)).Code -eq 0) {
            return
        }
        [System.Threading.Thread]::Sleep(1000)
    }
}

function Invoke-OnTerminal([string[]]$Arguments, [string]$Invocation) {
    $process = Start-Program (Get-Docker) $Arguments -Shown
    if ($null -eq $process) {
        Stop-NoEngine
    }
    $ended = $false
    try {
        # Ctrl-C is the container's here: docker takes it as any other key.
        while (-not $process.WaitForExit(200)) {
            continue
        }
        $script:ExitCode = $process.ExitCode
        $ended = $true
    } finally {
        if (-not $ended) {
            Stop-Run $Invocation
        }
    }
}

# The run's end was not seen here.
function Stop-Gone([string]$Sentence) {
    Stop-Script 69 container_gone $Sentence "What was done until then is on record: $runtime-run runs $invocation"
}

function Invoke-Main([string[]]$Words) {
    if (@('-h', '--help') -ccontains "$($Words | Select-Object -First 1)") {
        Get-Usage
        Get-Text "Words that PowerShell would change are written in quotes: 'a,b', '007', '@file'. Where the output is taken in another way than by
a pipe, a redirection or an assignment on the line itself, give its form: --output json or --output table."
        if ((Get-Container $runtime).State -eq 'running') {
            Invoke-Live @('exec', '-e', $locale, $runtime, '/flageemonitor/run_action.sh', '--help') { param($process) $process.Kill() }
        }
        return
    }
    $before = (Assert-Running $runtime).Identity
    $invocation = [guid]::NewGuid().ToString()
    # The actor is for the record only: the container cannot know who asks.
    $arguments = @(
        '-e', "FLAGEEMONITOR_INVOCATION=$invocation", '-e', "FLAGEEMONITOR_ACTOR=$env:USERNAME", '-e', $locale, $runtime, '/flageemonitor/run_action.sh'
    ) + $Words
    if (Test-Terminal $ScriptInvocation $Words) {
        Invoke-OnTerminal (@('exec', '-it', '-e', 'TERM=xterm-256color') + $arguments) $invocation
    } else {
        Invoke-Live (@('exec') + $arguments) {
            param($process, $coming)
            Stop-Run $invocation
            Receive-Rest $process $coming
        }
    }
    # An engine that went away looks like exit code 1, a container that went away like a kill.
    if ($script:ExitCode -eq 1 -or ($script:ExitCode -ge 125 -and $script:ExitCode -ne 130)) {
        $after = Get-Container $runtime
        if ($after.State -eq 'away') {
            Stop-Gone 'The Docker engine went away during the run.'
        } elseif ($script:ExitCode -ne 1 -and $after.Identity -cne $before) {
            Stop-Gone "The container $runtime was stopped during the run."
        }
    }
}
