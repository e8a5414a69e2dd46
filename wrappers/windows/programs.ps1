# What Windows programs take apart again as it was: backslashes count only before a double quote. Not left to PowerShell, of
# which 5.1 and 7 quote differently, and 5.1 wrongly.
function ConvertTo-CommandLine([string[]]$Arguments) {
    $quoted = foreach ($word in $Arguments) {
        if ($word -and $word -notmatch '[\s"]') { $word } else { '"' + (($word -replace '(\\*)"', '$1$1\"') -replace '(\\+)\z', '$1$1') + '"' }
    }
    $quoted -join ' '
}

# The process, or nothing where it cannot be started. Unless it is -Shown in this console, it has one of its own, which no
# Ctrl-C of this one reaches, and its output is ours to read.
function Start-Program([string]$File, [string[]]$Arguments, [switch]$Shown) {
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = ConvertTo-CommandLine $Arguments
    $start.UseShellExecute = $false
    if (-not $Shown) {
        $start.CreateNoWindow = $true
        $start.RedirectStandardInput = $start.RedirectStandardOutput = $start.RedirectStandardError = $true
        $start.StandardOutputEncoding = $start.StandardErrorEncoding = New-Object System.Text.UTF8Encoding $false
    }
    try { [System.Diagnostics.Process]::Start($start) } catch { $null }
}

# By its whole path: Windows would look for it in the current folder first. Docker Desktop has a script `docker` beside it.
function Get-Docker {
    foreach ($place in ($env:Path -split ';')) {
        $file = $place.Trim().Trim('"').TrimEnd('\') + '\docker.exe'
        if ($file -match '\A([a-z]:\\|\\\\)' -and [System.IO.File]::Exists($file)) {
            return $file
        }
    }
    return ''
}

# Exit code, output and errors of a program as text; 127 where it cannot be started. Its input is not on the command line.
function Invoke-Program([string]$File, [string[]]$Arguments, [string]$InputText = '') {
    $process = Start-Program $File $Arguments
    if ($null -eq $process) {
        return @{ Code = 127; Out = ''; Err = 'it cannot be started' }
    }
    $out = $process.StandardOutput.ReadToEndAsync()
    $err = $process.StandardError.ReadToEndAsync()
    Close-Input $process $InputText
    $process.WaitForExit()
    return @{ Code = $process.ExitCode; Out = $out.Result.Trim(); Err = $err.Result.Trim() }
}

# As UTF-8, past the encoding of the console.
function Close-Input($Process, [string]$Text) {
    $bytes = (New-Object System.Text.UTF8Encoding $false).GetBytes($Text)
    try {
        $Process.StandardInput.BaseStream.Write($bytes, 0, $bytes.Length)
        $Process.StandardInput.Close()
    } catch { $null = $_ } # it ended without reading
}

function Invoke-Docker([string[]]$Arguments) {
    Invoke-Program (Get-Docker) $Arguments
}

function ConvertTo-OneLine([string]$Text) {
    ($Text -replace '\s+', ' ').Trim()
}

function Test-Portuguese { $language -match '\Apt([-_.@]|\z)' }

# The sentence in the operator's language. Its values are the variables of the function that says it.
function Get-Text([string]$Finished) {
    if (-not (Test-Portuguese)) { return $Finished }
    Set-StrictMode -Off # the values of other sentences are not known here
    # @@sentences.pt_BR@@
    return $Finished
}

# State is running, exited, ... ; none; away when the engine does not answer. Identity is a text that changes when the container
# is stopped, started or replaced.
function Get-Container([string]$Name) {
    $said = Invoke-Docker @('container', 'inspect', '--format', '{{.Name}} {{.State.Status}} {{.Id}} {{.State.StartedAt}}', $Name)
    # Docker also answers to the beginning of another container's id.
    if ($said.Code -eq 0 -and $said.Out.StartsWith("/$Name ", [System.StringComparison]::Ordinal)) {
        return @{ State = $said.Out.Split(' ')[1]; Identity = $said.Out }
    }
    $away = $said.Code -ne 0 -and (Invoke-Docker @('version', '--format', '{{.Server.Version}}')).Code -ne 0
    return @{ State = $(if ($away) { 'away' } else { 'none' }); Identity = '' }
}

# At most one line of each stream; waits a moment for it, and no longer, so that Ctrl-C is noticed.
function Receive-Line($Process, [hashtable]$Coming) {
    $null = [System.Threading.Tasks.Task]::WaitAny([System.Threading.Tasks.Task[]]@($Coming.Values), 200)
    foreach ($stream in @($Coming.Keys)) {
        if ($Coming[$stream].IsCompleted) {
            $line = $Coming[$stream].Result
            if ($null -eq $line) {
                $Coming.Remove($stream)
            } elseif ($stream -eq 'Out') {
                $Coming[$stream] = $Process.StandardOutput.ReadLineAsync()
                $script:Answered = $true
                $line
            } else {
                $Coming[$stream] = $Process.StandardError.ReadLineAsync()
                Write-Message $line
            }
        }
    }
}
