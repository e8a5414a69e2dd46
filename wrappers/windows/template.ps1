#Requires -Version 5.1
# FlageeMonitor Proxy, flageemonitor-@COMMAND@. Written from the image at every update: changes made here are lost.
# All of it is one block, which PowerShell reads to its end before it runs any of it: a file that was cut off runs nothing.

<#
.SYNOPSIS
Part of FlageeMonitor Proxy; @COMMAND@ --help says what it does and takes.
#>

& {
    param($ScriptInvocation, [object[]]$Given)
    if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
        # Nothing of .NET may be called in this mode, so that the helpers below cannot be used.
        if ($PSUICulture -like 'pt*') {
            Write-Host "O PowerShell está em modo de linguagem restrito (AppLocker ou outra política). Nada foi alterado. Libere esta pasta na política."
        } else {
            Write-Host 'PowerShell is in a restricted language mode (AppLocker or another policy). Nothing was changed. Allow this folder in the policy.'
        }
        exit 69
    }
    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'
    $command = '@COMMAND@'
    $runtime = if ($env:RUNTIME_NAME) { $env:RUNTIME_NAME } else { '@RUNTIME_NAME@' }
    $program = [System.IO.Path]::GetFileNameWithoutExtension($PSCommandPath)
    $folder = Join-Path (Join-Path ([Environment]::GetFolderPath('CommonApplicationData')) 'FlageeMonitor') $runtime
    $env_file = Join-Path $folder 'flageemonitor.env'
    $data = "volume $runtime-data"
    $script:ExitCode = 0
    $script:Answered = $false

    # @@programs@@

    # Whether anybody reads it decides nothing.
    function Write-Line($Writer, [string]$Text) {
        try { $Writer.WriteLine($Text) } catch { $null = $_ }
    }

    function Write-Message([string]$Sentence) { Write-Line ([Console]::Error) (Get-Text $Sentence) }
    function Write-Warned([string]$Sentence) { Write-Line ([Console]::Error) "${program}: $(Get-Text $Sentence)" }

    # Ends the script. What follows the sentence on what happened is what it means and what to do.
    function Stop-Script([int]$ExitCode, [string]$Reason, [string]$Sentence, [string]$Advice = '', [string]$More = '') {
        Write-Warned $Sentence
        foreach ($next in @($Advice, $More)) {
            if ($next) { Write-Line ([Console]::Error) "  $(Get-Text $next)" }
        }
        $Advice = "$Advice $More".Trim()
        $stop = New-Object System.InvalidOperationException -ArgumentList $Sentence
        $stop.Data['ExitCode'] = $ExitCode
        $stop.Data['Output'] = ''
        if (@('json', 'ndjson') -ccontains $output) {
            # In one form, which has what deploy's answers have (schema to report) and what runs print of a failure (error).
            $stop.Data['Output'] = ConvertTo-Json -Compress -InputObject ([ordered]@{
                schema = 1; verb = $verb; runtime = $runtime; reason = $Reason; message = $Sentence; advice = $Advice; notes = @(); log = ''
                exit_code = $ExitCode; report = $null; error = [ordered]@{ reason = $Reason; message = $Sentence; advice = $Advice }
            })
        }
        throw $stop
    }

    function Get-Usage {
        if (Test-Portuguese) { @"
# @@help.pt@@
"@ } else { @"
# @@help.en@@
"@ }
    }

    function Stop-Usage([string]$Sentence) { Stop-Script 2 usage $Sentence "See: $program --help" }

    # What was typed: a number or a list of PowerShell's is text again.
    function ConvertTo-Words([object[]]$Given) {
        foreach ($word in $Given) { @($word | ForEach-Object { "$_" }) -join ',' }
    }

    # The value of an option that concerns the wrapper as well; the last one counts.
    function Get-Option([string]$Name, [string[]]$Words, [string]$Default) {
        $value = $Default
        for ($at = 0; $at -lt $Words.Count; $at++) {
            if ($Words[$at].StartsWith("$Name=", [System.StringComparison]::Ordinal)) {
                $value = $Words[$at].Substring($Name.Length + 1)
            } elseif ($Words[$at] -ceq $Name -and $at + 1 -lt $Words.Count) {
                $value = $Words[$at + 1]
            }
        }
        $value
    }

    function Stop-NoEngine {
        if (-not (Get-Docker)) {
            Stop-Script 69 no_engine 'docker is not installed on this host, or is not on PATH.'
        }
        $said = Invoke-Docker @('version', '--format', '{{.Server.Version}}')
        $why = ConvertTo-OneLine ($said.Err + ' ' + $said.Out)
        if ($why -match 'denied') {
            $user = $env:USERNAME
            Stop-Script 69 no_engine "The Docker engine denies access to the user $user." 'Open PowerShell as administrator.'
        }
        Stop-Script 69 no_engine "The Docker engine does not answer: $why" 'Start Docker Desktop, and check that it runs Linux containers.'
    }

    # Sets ExitCode to docker's and gives its output line by line, as strings; errors go where errors go. When Ctrl-C or the reader of
    # the output ends this script, OnStop gets the process and the lines that are still to come.
    function Invoke-Live([string[]]$Arguments, [scriptblock]$OnStop) {
        $process = Start-Program (Get-Docker) $Arguments
        if ($null -eq $process) {
            Stop-NoEngine
        }
        Close-Input $process ''
        $coming = @{ Out = $process.StandardOutput.ReadLineAsync(); Err = $process.StandardError.ReadLineAsync() }
        $ended = $false
        try {
            while ($coming.Count -gt 0) {
                Receive-Line $process $coming
            }
            $process.WaitForExit()
            $script:ExitCode = $process.ExitCode
            $ended = $true
        } finally {
            if (-not $ended) {
                & $OnStop $process $coming
            }
        }
    }

    # After Ctrl-C nothing goes through the pipeline any more: the rest is written to the console.
    function Receive-Rest($Process, [hashtable]$Coming) {
        while ($Coming.Count -gt 0) {
            foreach ($line in @(Receive-Line $Process $Coming)) { Write-Line ([Console]::Out) $line }
        }
        $Process.WaitForExit()
        $global:LASTEXITCODE = $Process.ExitCode
    }

    # @@COMMAND@@

    $words = @(ConvertTo-Words $Given)
    $verb = $command
    $output = Get-Option '--output' $words ''
    $language = Get-Option '--lang' $words $PSUICulture
    $locale = "LANG=$($language -replace '-', '_')" # for the program in the container
    # UTF-8 both ways; a host without a console has no encoding to set.
    $encoding = $null
    try {
        $encoding = [Console]::OutputEncoding
        [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
    } catch { $encoding = $null }
    try {
        if ($runtime -cnotmatch '\A[a-z0-9][a-z0-9_.-]{0,39}\z') {
            Stop-Script 2 usage "Invalid runtime name in RUNTIME_NAME: $runtime"
        }
        Invoke-Main $words
    } catch {
        if (-not $_.Exception.Data.Contains('ExitCode')) { throw }
        if ($_.Exception.Data['Output']) { $_.Exception.Data['Output'] }
        $script:ExitCode = $_.Exception.Data['ExitCode']
    } finally {
        if ($null -ne $encoding) { [Console]::OutputEncoding = $encoding }
    }
    exit $script:ExitCode
} $MyInvocation $args
